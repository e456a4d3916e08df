// How it looks: on a phone, in the dark, while the window changes.
import assert from 'node:assert/strict';

import { best } from './desk.mjs';

const APPLE = [300, 470];
const PHONE = { viewport: { width: 375, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// Of text on its ground, by WCAG 2.2.
function contrasts() {
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map((value) => value / 255)
            .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const colour = getComputedStyle(element).backgroundColor;
        return /, 0\)$/.test(colour) ? ground(element.parentElement) : colour;
    };
    return ['#status', '#help', '#model', '#download', '#open', '#panel h2', '#panel dt', '.segmented input:checked + span'].map((name) => {
        const element = document.querySelector(name);
        const [light, dark] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((a, b) => b - a);
        return [name, (light + 0.05) / (dark + 0.05)];
    });
}

export const tests = [
    {
        name: 'on a phone: nothing is cut off, a tap selects',
        window: PHONE,
        async test(desk) {
            const { page } = desk;
            await page.goto(`${desk.url}/`);
            assert.equal(await overflow(page), 0, 'of the welcome');
            await page.tap('#try');
            await desk.ready();
            assert.equal(await overflow(page), 0, 'of the image');
            assert.ok(desk.box.x >= 0 && desk.box.x + desk.box.width <= 375);
            await desk.settled(() => page.touchscreen.tap(...desk.at(APPLE)));
            assert.equal(await overflow(page), 0, 'of the mask');
            const point = await page.evaluate(() => document.querySelector('.point').getAttribute('class'));
            assert.equal(point, 'point plus');
            assert.equal(await desk.hasPreview(), false);
        },
    },
    ...['light', 'dark'].map((colorScheme) => ({
        name: `text can be read, ${colorScheme}`,
        window: { colorScheme },
        async test(desk) {
            await desk.openSample();
            await desk.click(APPLE);
            for (const [name, contrast] of await desk.page.evaluate(contrasts))
                assert.ok(contrast >= 4.5, `${name}: ${contrast.toFixed(2)}`);
        },
    })),
    {
        name: 'the mask stays on its object when the window changes',
        async test(desk) {
            await desk.openSample();
            await desk.click(APPLE);
            await desk.page.setViewportSize({ width: 800, height: 500 });
            await desk.page.waitForFunction((before) => document.getElementById('stage').clientWidth < before, desk.box.width);
            await desk.shows('mask', best(await desk.masks({ points: [APPLE], multimask: true })));
        },
    },
];
