// Masks: COCO's run lengths become pixels at the size they are shown in, and pixels become a picture.

// COCO's compressed counts (cocoapi, common/maskApi.c, rleFrString): five bits a character, the lowest first; from the
// fourth number on they are differences to the last but one.
export function countsOf(text) {
    const counts = [];
    let value = 0;
    let shift = 0;
    for (let i = 0; i < text.length; i++) {
        const group = text.charCodeAt(i) - 48;
        value |= (group & 31) << shift;
        shift += 5;
        if (group & 32)
            continue;
        if (group & 16 && shift < 32)
            value |= -1 << shift;
        if (counts.length > 2)
            value += counts[counts.length - 2];
        counts.push(value);
        value = shift = 0;
    }
    return counts;
}

// Which pixel of the image each shown one is taken from, along one side: source[d], the nearest to its middle. And for
// each pixel of the image, and the one after the last, the first that is taken from there or beyond: first[s].
function sampling(size, shown) {
    const source = new Int32Array(shown);
    const first = new Int32Array(size + 1);
    for (let d = 0, s = 0; d < shown; d++) {
        source[d] = Math.min(size - 1, Math.floor(((d + 0.5) * size) / shown));
        while (s <= source[d])
            first[s++] = d;
        if (d === shown - 1)
            first.fill(shown, s);
    }
    return { source, first };
}

// An image of width x height pixels, shown as shownWidth x shownHeight.
export class Grid {
    constructor(width, height, shownWidth, shownHeight) {
        this.width = shownWidth;
        this.height = shownHeight;
        this.imageHeight = height;
        this.columns = sampling(width, shownWidth);
        this.rows = sampling(height, shownHeight);
    }

    // A mask of the API as it is shown: {left, top, width, height, pixels}, of its bounding box. The pixels, 0 or 1, have
    // a margin of MARGIN on all sides.
    raster(mask) {
        const [x, y, w, h] = mask.bbox;
        const left = this.columns.first[x];
        const top = this.rows.first[y];
        const width = this.columns.first[x + w] - left;
        const height = this.rows.first[y + h] - top;
        const stride = width + 2 * MARGIN;
        const pixels = new Uint8Array(stride * (height + 2 * MARGIN));
        const raster = { left, top, width, height, stride, pixels };
        const counts = countsOf(mask.segmentation.counts);
        for (let i = 1, at = counts[0]; i < counts.length; at += counts[i] + (counts[i + 1] ?? 0), i += 2)
            this.#fill(raster, at, at + counts[i]);
        return raster;
    }

    // Sets a run, which goes down the image's columns, from one pixel up to another.
    #fill({ left, top, stride, pixels }, from, to) {
        const { source, first } = this.columns;
        const last = Math.floor((to - 1) / this.imageHeight);
        for (let d = first[Math.floor(from / this.imageHeight)]; d < this.width && source[d] <= last; d++) {
            const start = source[d] * this.imageHeight;
            const begin = this.rows.first[Math.max(0, from - start)];
            const end = this.rows.first[Math.min(this.imageHeight, to - start)];
            let place = (begin - top + MARGIN) * stride + d - left + MARGIN;
            for (let row = begin; row < end; row++, place += stride)
                pixels[place] = 1;
        }
    }
}

// As wide as the widest outline.
const MARGIN = 4;

// Whether the raster has the shown pixel at x, y.
export function covers(raster, x, y) {
    const column = Math.floor(x) - raster.left;
    const row = Math.floor(y) - raster.top;
    return column >= 0 && row >= 0 && column < raster.width && row < raster.height &&
        raster.pixels[(row + MARGIN) * raster.stride + column + MARGIN] === 1;
}

// The colours of a mask: [red, green, blue, alpha] of its inside, and of its outline, whose width is in shown pixels.
function packed([red, green, blue, alpha]) {
    return (alpha << 24) | (blue << 16) | (green << 8) | red; // as ImageData has it in memory
}

// Draws a raster over what the context has; nothing outside of its box changes.
export function paint(context, raster, { fill, line, lineWidth }) {
    if (raster.width === 0 || raster.height === 0)
        return;
    const image = new ImageData(raster.width, raster.height);
    const out = new Int32Array(image.data.buffer);
    const inside = packed(fill);
    const edge = packed(line);
    const { pixels, stride, width, height } = raster;
    const reach = Math.min(MARGIN, lineWidth);
    for (let y = 0, at = 0; y < height; y++)
        for (let i = (y + MARGIN) * stride + MARGIN, end = i + width; i < end; i++, at++)
            if (pixels[i])
                out[at] = pixels[i - reach] & pixels[i + reach] & pixels[i - reach * stride] & pixels[i + reach * stride]
                    ? inside : edge;
    context.putImageData(image, raster.left, raster.top);
}

// A colour for the i-th of many masks, each far from the ones before it.
function colourOf(i) {
    const hue = (i * 137.508 + 255) % 360;
    const channel = (n) => {
        const k = (n + hue / 30) % 12;
        return Math.round(255 * (0.6 - 0.36 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
    };
    return [channel(0), channel(8), channel(4)];
}

// Many masks side by side, small ones over large ones.
export class Patchwork {
    #labels; // for each shown pixel the mask's place in the list, and one more; 0 for none

    // The rasters are of masks that are shown in this grid.
    constructor({ width, height }, rasters) {
        this.width = width;
        this.height = height;
        this.#labels = new Uint16Array(width * height);
        const areas = rasters.map(({ pixels }) => pixels.reduce((sum, pixel) => sum + pixel, 0));
        const order = areas.map((_, i) => i).sort((a, b) => areas[b] - areas[a]);
        for (const i of order)
            this.#lay(rasters[i], i + 1);
    }

    #lay({ left, top, width, height, stride, pixels }, label) {
        for (let y = 0; y < height; y++)
            for (let x = 0; x < width; x++)
                if (pixels[(y + MARGIN) * stride + x + MARGIN])
                    this.#labels[(top + y) * this.width + left + x] = label;
    }

    // The place in the list of the mask at a shown pixel, or -1.
    at(x, y) {
        return this.#labels[Math.floor(y) * this.width + Math.floor(x)] - 1;
    }

    paint(context) {
        const image = new ImageData(this.width, this.height);
        const out = new Int32Array(image.data.buffer);
        const labels = this.#labels;
        const fills = [];
        for (let i = 0; i < labels.length; i++) {
            const label = labels[i];
            if (label === 0)
                continue;
            fills[label] ??= { inside: packed([...colourOf(label), 120]), edge: packed([...colourOf(label), 255]) };
            const isInside = labels[i - 1] === label && labels[i + 1] === label &&
                labels[i - this.width] === label && labels[i + this.width] === label;
            out[i] = isInside ? fills[label].inside : fills[label].edge;
        }
        context.putImageData(image, 0, 0);
    }
}
