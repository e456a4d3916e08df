// What is under the pointer, while it moves: one request at a time, for the newest position.

// How long a request may be under way while newer positions wait: a multiple of the usual time, or this.
const PATIENCE = 3;
const LEAST_PATIENCE = 100; // ms

export class Preview {
    #wanted = null;  // the newest position, that nobody asked about yet
    #request = null; // the one under way: {position, started, abort}
    #usual = 30;     // ms that a request takes
    #timer = 0;

    // ask(position, signal) promises an answer; show(answer, position, newest) shows it, unless it is of no more use
    // to who has moved on to newest (or null); hide() takes away what is shown.
    constructor({ ask, show, hide }) {
        Object.assign(this, { ask, show, hide });
    }

    move(position) {
        this.#wanted = position;
        if (!this.#request)
            this.#begin();
        else
            this.#hurry();
    }

    // The pointer is gone, or does something else.
    stop() {
        this.#wanted = null;
        this.#drop();
        this.hide();
    }

    #drop() {
        clearTimeout(this.#timer);
        this.#request?.abort.abort();
        this.#request = null;
    }

    // A request that takes too long is given up for the newer position. The daemon skips what nobody waits for.
    #hurry() {
        const patience = Math.max(LEAST_PATIENCE, PATIENCE * this.#usual);
        const left = this.#request.started + patience - performance.now();
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => {
            this.#usual *= 2; // or a slow daemon would never be heard to the end
            this.#drop();
            this.#begin();
        }, left);
    }

    async #begin() {
        const request = { position: this.#wanted, started: performance.now(), abort: new AbortController() };
        this.#wanted = null;
        this.#request = request;
        let answer = null;
        try {
            answer = await this.ask(request.position, request.abort.signal);
        } catch {
            // a preview that fails is none; the click will tell why
        }
        if (this.#request !== request)
            return; // stale
        clearTimeout(this.#timer);
        this.#request = null;
        if (answer) {
            this.#usual = 0.8 * this.#usual + 0.2 * (performance.now() - request.started);
            this.show(answer, request.position, this.#wanted);
        }
        if (this.#wanted)
            this.#begin();
    }
}
