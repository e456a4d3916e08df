// The daemon: its requests, its problems in words, its key, and an image on it.

const KEY = 'maskd-key';
const POLL = 250; // ms between looks at how far the daemon is

// An answer that is not a success: application/problem+json, or whatever a proxy made of it.
export class Problem extends Error {
    constructor(status, text) {
        let problem = {};
        try {
            problem = JSON.parse(text);
        } catch {
            // the status alone has to tell
        }
        const faults = (problem.errors ?? []).map(({ pointer, detail }) => `${pointer} ${detail}`.trim());
        const detail = faults.length ? faults.join('; ') : problem.detail;
        super(problem.title ? `${problem.title}: ${detail}` : `The server answered ${status}`);
        this.status = status;
        this.kind = (problem.type ?? '').replace('/problems/', '');
    }
}

let askForKey = async () => null;

// ask(reason) shows the user that a key is needed, and gives it, or null when there is none.
export function onKeyNeeded(ask) {
    askForKey = ask;
}

let asking = null; // one question at a time, however many requests were refused

async function newKey(problem, refused) {
    const known = sessionStorage.getItem(KEY);
    if (known !== refused)
        return known; // it was given meanwhile
    asking ??= askForKey(refused ? problem.message : '').finally(() => { asking = null; });
    const key = await asking;
    if (key === null)
        throw problem;
    sessionStorage.setItem(KEY, key);
    return key;
}

// Calls once(headers), again with a new key when the daemon asks for one.
async function withKey(once) {
    let key = sessionStorage.getItem(KEY);
    for (;;) {
        try {
            return await once(key === null ? {} : { Authorization: `Bearer ${key}` });
        } catch (problem) {
            if (problem.status !== 401)
                throw problem;
            key = await newKey(problem, key);
        }
    }
}

// "segment;dur=18.2, total;dur=19.0" becomes {segment: 18.2, total: 19}.
function serverTiming(text) {
    const spans = (text ?? '').matchAll(/([a-z]+);dur=([\d.]+)/g);
    return Object.fromEntries([...spans].map(([, name, milliseconds]) => [name, Number(milliseconds)]));
}

// {data, trip, server}: the answer, and how long it took as seen from here and from there.
export async function send(method, path, { body, headers = {}, signal } = {}) {
    return withKey(async (authorization) => {
        const started = performance.now();
        const response = await fetch(path, { method, body, headers: { ...headers, ...authorization }, signal });
        const text = await response.text();
        if (!response.ok)
            throw new Problem(response.status, text);
        const server = serverTiming(response.headers.get('Server-Timing'));
        return { data: text ? JSON.parse(text) : null, trip: performance.now() - started, server, response };
    });
}

// fetch cannot tell how much of a body is sent. progress(fraction): of the upload; 1 when it is all there.
function post(path, blob, headers, progress) {
    return new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open('POST', path);
        for (const [name, value] of Object.entries(headers))
            request.setRequestHeader(name, value);
        request.upload.onprogress = (event) => progress(event.loaded / event.total);
        request.upload.onload = () => progress(1);
        request.onerror = () => reject(new TypeError('The server does not answer'));
        request.onload = () => (request.status < 300
            ? resolve(JSON.parse(request.responseText))
            : reject(new Problem(request.status, request.responseText)));
        request.send(blob);
    });
}

// An image on the daemon, which may forget it at any time: then it is uploaded again.
export class Picture {
    #uploading = null;

    constructor(blob) {
        this.blob = blob;
    }

    // Fills id, model, width, height and encodeTime.
    async upload(progress = () => {}) {
        this.#uploading ??= withKey((headers) => post('/v1/images', this.blob, headers, progress))
            .finally(() => { this.#uploading = null; });
        const { id, model, width, height, cached, timing_ms: timing } = await this.#uploading;
        Object.assign(this, { id, model, width, height, encodeTime: cached ? null : timing?.encode ?? null });
    }

    // A request on the image: what is ".../images/ID/" and name.
    async request(method, name, options = {}) {
        const once = () => send(method, `/v1/images/${this.id}/${name}`, options);
        try {
            return await once();
        } catch (problem) {
            if (problem.kind !== 'unknown-image')
                throw problem;
            await this.upload();
            return once();
        }
    }

    // All masks that the daemon finds. progress(fraction): of the points that it tries.
    async everything(progress, signal) {
        const headers = { 'Content-Type': 'application/json', Prefer: 'respond-async' };
        let { data } = await this.request('POST', 'everything', { body: '{}', headers, signal });
        while (data.status === 'running') {
            progress(data.total ? data.done / data.total : 0);
            await new Promise((resolve) => { setTimeout(resolve, POLL); });
            ({ data } = await this.request('GET', 'everything', { signal }));
        }
        if (!data.masks)
            throw new Error(data.problem?.detail ?? 'The server could not find everything');
        return data.masks;
    }

    segment(prompt, signal) {
        return this.request('POST', 'segment', {
            body: JSON.stringify(prompt),
            headers: { 'Content-Type': 'application/json' },
            signal,
        });
    }
}
