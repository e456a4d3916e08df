// The page in Chromium, and what the tests want to know of it.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import path from 'node:path';
import process from 'node:process';

// packages: where npm put playwright-core.
export function launch(packages) {
    const { chromium } = createRequire(path.resolve(packages, 'desk.js'))('playwright-core');
    const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
    return chromium.launch({ executablePath, chromiumSandbox: process.getuid() !== 0 });
}

// Runs down the columns of what a layer shows on the stage, the first of zeros: what COCO's uncompressed RLE has. A canvas may
// be smaller than the stage.
function countsOfLayer(name) {
    const canvas = document.getElementById(name);
    const [inner, outer] = [canvas, canvas.parentElement].map((element) => element.getBoundingClientRect());
    const density = canvas.hidden ? devicePixelRatio : canvas.width / inner.width;
    const [width, height, left, top] = [outer.width, outer.height, inner.left - outer.left, inner.top - outer.top]
        .map((value) => Math.round(value * density));
    const pixels = canvas.hidden ? null : canvas.getContext('2d').getImageData(-left, -top, width, height).data;
    const counts = [0];
    let value = 0;
    for (let x = 0; x < width; x++)
        for (let y = 0; y < height; y++) {
            const next = pixels?.[4 * (y * width + x) + 3] > 0 ? 1 : 0;
            if (next !== value)
                counts.push(0);
            value = next;
            counts[counts.length - 1]++;
        }
    return { size: [height, width], counts };
}

export class Desk {
    // Tests may expect console errors of refused requests: they are added to allowed. That pixels are read back is their own
    // doing.
    constructor(page, url) {
        Object.assign(this, { page, url, faults: [], allowed: [/willReadFrequently/], requests: [], aborted: [] });
        page.on('console', (message) => {
            if (message.type() === 'error' || message.type() === 'warning')
                this.faults.push(`${message.text()} (${message.location().url})`);
        });
        page.on('pageerror', (error) => this.faults.push(error.stack));
        page.on('request', (request) => {
            this.requests.push(request);
            if (!request.url().startsWith(`${url}/`) && !/^(blob|data):/.test(request.url()))
                this.faults.push(`a request to ${request.url()}`);
        });
        page.on('requestfailed', (request) => this.aborted.push(request));
    }

    // Nothing went wrong that nobody expected.
    check() {
        const unexpected = this.faults.filter((fault) => !this.allowed.some((pattern) => pattern.test(fault)));
        assert.deepEqual(unexpected, [], 'console, policy and foreign requests');
    }

    async openSample() {
        await this.page.goto(`${this.url}/`);
        await this.page.click('#try');
        await this.ready();
    }

    async ready() {
        await this.status(/Point at an object/);
        await this.measure();
        const answer = await this.page.evaluate(() => document.querySelector('#stage').ariaLabel);
        this.size = answer.match(/(\d+) by (\d+) pixels/).slice(1).map(Number);
    }

    async measure() {
        this.box = await this.page.locator('#stage').boundingBox();
    }

    // The place in the window of a pixel of the image.
    at([x, y]) {
        return [this.box.x + ((x + 0.5) * this.box.width) / this.size[0], this.box.y + ((y + 0.5) * this.box.height) / this.size[1]];
    }

    async click(pixel, { modifier, button } = {}) {
        await this.settled(async () => {
            if (modifier)
                await this.page.keyboard.down(modifier);
            await this.page.mouse.click(...this.at(pixel), { button });
            if (modifier)
                await this.page.keyboard.up(modifier);
        });
    }

    async drag([from, to]) {
        await this.settled(async () => {
            await this.page.mouse.move(...this.at(from));
            await this.page.mouse.down();
            await this.page.mouse.move(...this.at(to), { steps: 4 });
            await this.page.mouse.up();
        });
    }

    async press(...keys) {
        for (const key of keys)
            await this.page.keyboard.press(key);
    }

    // Does what leads to a new status, that of a mask or another, and waits for it.
    async settled(action, pattern = /^Mask of/) {
        await this.page.evaluate(() => { document.getElementById('status').textContent = 'waiting'; });
        await action();
        await this.status(pattern);
    }

    async status(pattern) {
        await this.page.waitForFunction(([source]) => new RegExp(source).test(document.getElementById('status').textContent),
            [pattern.source]);
    }

    layer(name) {
        return this.page.evaluate(countsOfLayer, name);
    }

    async hasPreview() {
        const { counts } = await this.layer('preview');
        return counts.length > 1;
    }

    async waitPreview() {
        await this.page.waitForSelector('#preview', { state: 'visible' });
    }

    async imageId() {
        const uploads = this.requests.filter((request) => request.method() === 'POST' && request.url().endsWith('/v1/images'));
        const response = await uploads.at(-1).response();
        return (await response.json()).id;
    }

    // What the daemon says to a prompt, asked from outside of the page.
    async api(prompt, { method = 'POST', path = '/segment', headers = {} } = {}) {
        const response = await fetch(`${this.url}/v1/images/${await this.imageId()}${path}`,
            { method, body: prompt && JSON.stringify(prompt), headers });
        return { status: response.status, body: response.status === 204 ? null : await response.json() };
    }

    // The masks of a prompt, with the counts as numbers.
    async masks(prompt) {
        const { status, body } = await this.api({ ...prompt, format: 'coco_rle_uncompressed' });
        assert.equal(status, 200, JSON.stringify(body));
        return body.masks;
    }

    // A layer shows just this mask, pixel by pixel; where it is smaller or larger, the pixel nearest to each middle.
    async shows(name, mask) {
        const shown = await this.layer(name);
        assert.ok(mask.area > 0, 'the mask is empty');
        assert.deepEqual(shown.counts, sampled(mask.segmentation, shown.size).counts, `the pixels of ${name}`);
    }
}

// A mask in another size.
export function sampled({ size: [height, width], counts }, [rows, columns]) {
    const pixels = new Uint8Array(width * height);
    let place = 0;
    counts.forEach((count, i) => {
        pixels.fill(i % 2, place, place + count);
        place += count;
    });
    const result = [0];
    let value = 0;
    for (let x = 0; x < columns; x++)
        for (let y = 0; y < rows; y++) {
            const column = Math.floor(((x + 0.5) * width) / columns);
            const next = pixels[column * height + Math.floor(((y + 0.5) * height) / rows)];
            if (next !== value)
                result.push(0);
            value = next;
            result[result.length - 1]++;
        }
    return { size: [rows, columns], counts: result };
}

export function best(masks) {
    return masks.reduce((found, mask) => (mask.predicted_iou > found.predicted_iou ? mask : found));
}
