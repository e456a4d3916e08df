// The image on the page and what lies over it: the mask, the preview, the points and the box.

import { Grid, Patchwork, covers, paint } from './mask.js';

const LONGEST_SIDE = 2560; // of a layer, in device pixels
const LARGEST_THUMBNAIL = 2; // times the image
const SVG = 'http://www.w3.org/2000/svg';

const ACCENT = [106, 79, 240];
const MASK = { fill: [...ACCENT, 120], line: [255, 255, 255, 255] };
const PREVIEW = { fill: [...ACCENT, 64], line: [...ACCENT, 255] };
const HIGHLIGHT = { fill: [255, 255, 255, 110], line: [255, 255, 255, 255] };
export const SUBTLE_PREVIEW = { fill: [255, 255, 255, 40], line: [255, 255, 255, 200] };

const NOWHERE = { left: 0, top: 0, width: 0, height: 0 };

function element(name, attributes, parent) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes))
        made.setAttribute(key, value);
    return parent.appendChild(made);
}

export class View {
    #grid = null;
    #shown = { mask: null, preview: null }; // the masks of the API that the layers show
    #rasters = new WeakMap(); // of masks, at the size of now
    #look = PREVIEW; // of the preview
    #all = null;     // the masks of showAll
    #patchwork = null;
    #density = 1;    // pixels of a layer for one of the page

    constructor(stage) {
        this.stage = stage;
        this.photo = stage.querySelector('#photo');
        this.marks = stage.querySelector('#marks');
        this.layers = {};
        for (const name of ['mask', 'preview'])
            this.layers[name] = stage.querySelector(`#${name}`).getContext('2d');
        new ResizeObserver(() => this.#fit()).observe(stage.parentElement);
    }

    // Promises that the image can be seen.
    async open(url) {
        this.photo.src = url;
        await this.photo.decode();
        this.stage.hidden = false;
        this.resize(this.photo.naturalWidth, this.photo.naturalHeight);
    }

    // The image's pixels, as the daemon counts them.
    resize(width, height) {
        this.width = width;
        this.height = height;
        this.#fit();
    }

    // The stage becomes as large as there is room for; what is shown gets as many pixels as the screen has there.
    #fit() {
        if (this.stage.hidden || !this.width)
            return;
        const room = this.stage.parentElement;
        const scale = Math.min(room.clientWidth / this.width, room.clientHeight / this.height,
            Math.max(1, 640 / Math.max(this.width, this.height)));
        const width = Math.max(1, Math.round(this.width * scale));
        const height = Math.max(1, Math.round(this.height * scale));
        this.stage.style.width = `${width}px`;
        this.stage.style.height = `${height}px`;
        this.scale = width / this.width;
        this.marks.setAttribute('viewBox', `0 0 ${width} ${height}`);
        this.#density = Math.min(devicePixelRatio, LONGEST_SIDE / Math.max(width, height));
        this.#grid = new Grid(this.width, this.height, Math.max(1, Math.round(width * this.#density)),
            Math.max(1, Math.round(height * this.#density)));
        this.#rasters = new WeakMap();
        if (this.#all)
            this.showAll(this.#all);
        else
            this.show('mask', this.#shown.mask);
        this.show('preview', this.#shown.preview, this.#look);
        this.onfit?.();
    }

    // A mask of the API in a layer, instead of what was there; null for nothing.
    show(layer, mask, look = layer === 'mask' ? MASK : PREVIEW) {
        if (layer === 'mask')
            this.#all = this.#patchwork = null;
        else
            this.#look = look;
        this.#shown[layer] = mask;
        const raster = mask ? this.#raster(mask) : NOWHERE;
        this.#spread(layer, raster);
        paint(this.layers[layer], { ...raster, left: 0, top: 0 },
            { ...look, lineWidth: Math.max(1, Math.round(1.5 * this.#density)) });
    }

    // A layer is no larger than what it shows: the browser has less to draw. It is empty afterwards.
    #spread(layer, { left, top, width, height }) {
        const { canvas } = this.layers[layer];
        canvas.hidden = width === 0 || height === 0;
        Object.assign(canvas, { width, height });
        for (const [name, value] of Object.entries({ left, top, width, height }))
            canvas.style[name] = `${value / this.#density}px`;
    }

    // Many masks in colours, instead of the one of the mask layer.
    showAll(masks) {
        this.show('mask', null);
        this.#all = masks;
        this.#patchwork = new Patchwork(this.#grid, masks.map((mask) => this.#raster(mask)));
        this.#spread('mask', { left: 0, top: 0, width: this.#grid.width, height: this.#grid.height });
        this.#patchwork.paint(this.layers.mask);
    }

    // The one of many masks at the pixel [x, y] of the image: its place in the list, or -1. It is lit up.
    light([x, y]) {
        const ratio = this.#grid.width / this.width;
        const index = this.#patchwork.at((x + 0.5) * ratio, (y + 0.5) * ratio);
        this.show('preview', this.#all[index] ?? null, HIGHLIGHT);
        return index;
    }

    #raster(mask) {
        if (!this.#rasters.has(mask))
            this.#rasters.set(mask, this.#grid.raster(mask));
        return this.#rasters.get(mask);
    }

    // Whether a mask has the pixel [x, y] of the image, as far as can be seen.
    covers(mask, [x, y]) {
        const ratio = this.#grid.width / this.width;
        return covers(this.#raster(mask), (x + 0.5) * ratio, (y + 0.5) * ratio);
    }

    // A small picture of a mask by itself, cut out so that all of these masks would fit.
    thumbnail(canvas, mask, masks) {
        const width = canvas.width = Math.round(canvas.clientWidth * devicePixelRatio);
        const height = canvas.height = Math.round(canvas.clientHeight * devicePixelRatio);
        if (!mask || width === 0)
            return;
        const [left, top, right, bottom] = [0, 1, 2, 3].map((i) => (i < 2
            ? Math.min(...masks.map(({ bbox }) => bbox[i]))
            : Math.max(...masks.map(({ bbox }) => bbox[i - 2] + bbox[i]))));
        const scale = Math.min(width / (right - left), height / (bottom - top), LARGEST_THUMBNAIL);
        const grid = new Grid(this.width, this.height, Math.round(this.width * scale), Math.round(this.height * scale));
        const raster = grid.raster(mask);
        raster.left += Math.round((width - (left + right) * scale) / 2);
        raster.top += Math.round((height - (top + bottom) * scale) / 2);
        paint(canvas.getContext('2d'), raster, { fill: [...ACCENT, 255], line: [...ACCENT, 255], lineWidth: 1 });
    }

    // The pixel of the image at a place of the window; null outside, or the nearest one with clamp.
    pixelAt(clientX, clientY, clamp = false) {
        const box = this.stage.getBoundingClientRect();
        const x = Math.floor((clientX - box.left - this.stage.clientLeft) / this.scale);
        const y = Math.floor((clientY - box.top - this.stage.clientTop) / this.scale);
        const inside = x >= 0 && y >= 0 && x < this.width && y < this.height;
        return inside || clamp ? this.clamped([x, y]) : null;
    }

    clamped([x, y]) {
        return [Math.min(this.width - 1, Math.max(0, x)), Math.min(this.height - 1, Math.max(0, y))];
    }

    // Points and box of a prompt, the box that is being drawn, and the crosshair of the keyboard; each may be missing.
    mark({ points = [], labels = [], box, draft, crosshair }) {
        this.marks.replaceChildren();
        for (const [corners, name] of [[box, 'box'], [draft, 'box draft']])
            if (corners)
                this.#drawBox(corners, name);
        points.forEach((point, i) => this.#drawPoint(point, labels[i]));
        if (crosshair)
            this.#drawCrosshair(crosshair);
    }

    #place([x, y]) {
        return [(x + 0.5) * this.scale, (y + 0.5) * this.scale];
    }

    #drawBox([x1, y1, x2, y2], name) {
        const [left, top] = this.#place([Math.min(x1, x2), Math.min(y1, y2)]);
        const [right, bottom] = this.#place([Math.max(x1, x2), Math.max(y1, y2)]);
        for (const part of ['under', 'over'])
            element('rect', { x: left, y: top, width: right - left, height: bottom - top, class: `${name} ${part}` }, this.marks);
    }

    #drawPoint(point, label) {
        const [x, y] = this.#place(point);
        const name = label ? 'point plus' : 'point minus';
        const group = element('g', { class: name, transform: `translate(${x} ${y})` }, this.marks);
        element('circle', { r: 8 }, group);
        element('path', { d: label ? 'M-4 0h8M0-4v8' : 'M-4 0h8' }, group);
    }

    #drawCrosshair(pixel) {
        const [x, y] = this.#place(pixel);
        const lines = `M${x - 22} ${y}h16M${x + 6} ${y}h16M${x} ${y - 22}v16M${x} ${y + 6}v16`;
        for (const part of ['under', 'over'])
            element('path', { d: lines, class: `crosshair ${part}` }, this.marks);
    }
}
