// Clicks, boxes, candidates: the masks that are shown are the API's, bit for bit.
import assert from 'node:assert/strict';

import { best, sampled } from './desk.mjs';

const JUG = [590, 400];
const HANDLE = [692, 300];
const APPLE = [300, 470];
const BOOK = [[735, 490], [1035, 675]];

export const tests = [
    {
        name: 'a click',
        async test(desk) {
            await desk.openSample();
            assert.deepEqual([desk.box.width, desk.box.height], desk.size, 'not shown pixel by pixel');
            await desk.click(JUG);
            const masks = await desk.masks({ points: [JUG], multimask: true });
            assert.deepEqual((await desk.layer('mask')).counts, best(masks).segmentation.counts);
            assert.match(await desk.page.textContent('#time-click'), /^\d+(\.\d)? ms, server \d+(\.\d)? ms$/);
            assert.match(await desk.page.textContent('#time-encode'), /^(\d+ ms|known already)$/);
        },
    },
    {
        name: 'a click where the image is not shown pixel by pixel',
        window: { viewport: { width: 900, height: 700 }, deviceScaleFactor: 1.5 },
        async test(desk) {
            await desk.openSample();
            await desk.click(APPLE);
            await desk.shows('mask', best(await desk.masks({ points: [APPLE], multimask: true })));
        },
    },
    {
        name: 'more clicks: added, removed by shift, by the right button and by the switch',
        async test(desk) {
            await desk.openSample();
            await desk.click(JUG);
            const points = [JUG, HANDLE, [650, 350], APPLE, [100, 100]];
            await desk.click(points[1], { modifier: 'Shift' });
            await desk.shows('mask', (await desk.masks({ points: points.slice(0, 2), labels: [1, 0] }))[0]);
            await desk.click(points[2], { button: 'right' });
            await desk.shows('mask', (await desk.masks({ points: points.slice(0, 3), labels: [1, 0, 0] }))[0]);
            await desk.click(points[3]);
            await desk.page.click('text=− Remove');
            await desk.click(points[4]);
            await desk.shows('mask', (await desk.masks({ points, labels: [1, 0, 0, 1, 0] }))[0]);
            assert.equal(await desk.page.locator('.point.plus').count(), 2);
            assert.equal(await desk.page.locator('.point.minus').count(), 3);
        },
    },
    {
        name: 'a box, drawn from any corner, and a click beside it',
        async test(desk) {
            await desk.openSample();
            const box = BOOK.flat();
            await desk.drag(BOOK);
            await desk.shows('mask', best(await desk.masks({ box, multimask: true })));
            await desk.click([900, 560]);
            await desk.shows('mask', (await desk.masks({ box, points: [[900, 560]], labels: [1] }))[0]);
            await desk.press('Escape');
            await desk.drag([[735, 675], [1035, 490]]);
            await desk.shows('mask', best(await desk.masks({ box, multimask: true })));
        },
    },
    {
        name: 'undo, redo, clear',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await desk.click(JUG);
            const one = await desk.layer('mask');
            await desk.click(APPLE);
            const two = await desk.layer('mask');
            assert.notDeepEqual(two, one);
            const asked = desk.requests.length;
            await page.click('#undo');
            assert.deepEqual(await desk.layer('mask'), one);
            await page.keyboard.press('Control+z');
            assert.equal((await desk.layer('mask')).counts.length, 1, 'not empty');
            await page.keyboard.press('Control+Shift+Z');
            await page.click('#redo');
            assert.deepEqual(await desk.layer('mask'), two);
            await page.click('#clear');
            assert.equal((await desk.layer('mask')).counts.length, 1, 'not empty');
            assert.ok(await page.isDisabled('#download'));
            await page.click('#undo');
            assert.deepEqual(await desk.layer('mask'), two);
            const sent = desk.requests.slice(asked).filter((request) => request.postData()?.includes('multimask'));
            assert.deepEqual(sent, [], 'masks were asked for again');
        },
    },
    {
        name: 'three candidates, with their scores',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await desk.click(JUG);
            const masks = await desk.masks({ points: [JUG], multimask: true });
            const buttons = page.locator('#candidates button:visible');
            const scores = masks.map((mask) => mask.predicted_iou.toFixed(2));
            assert.deepEqual((await buttons.allTextContents()).map((text) => text.trim()), scores);
            for (const [i, mask] of masks.entries()) {
                await buttons.nth(i).click();
                await desk.shows('mask', mask);
                assert.equal(await page.locator('#candidates [aria-pressed=true]').count(), 1);
            }
            await page.keyboard.press('1');
            await desk.shows('mask', masks[0]);
            await desk.click(APPLE);
            const prompt = { points: [JUG, APPLE], labels: [1, 1] };
            await desk.shows('mask', (await desk.masks({ ...prompt, multimask: true }))[0]);
            assert.equal(await buttons.count(), 4);
            await page.keyboard.press('0');
            await desk.shows('mask', (await desk.masks(prompt))[0]);
        },
    },
    {
        name: 'an image that the daemon has forgotten is uploaded again',
        async test(desk) {
            await desk.openSample();
            const forgotten = await desk.api(null, { method: 'DELETE', path: '' });
            assert.equal(forgotten.status, 204);
            desk.allowed.push(/404/);
            await desk.click(JUG);
            await desk.shows('mask', best(await desk.masks({ points: [JUG], multimask: true })));
        },
    },
    {
        name: 'random run lengths become pixels, at any scale',
        async test(desk) {
            await desk.page.goto(`${desk.url}/`);
            for (const [height, width, rows, columns] of [[4, 6, 4, 6], [37, 53, 37, 53], [97, 61, 40, 25], [7, 5, 50, 41], [1, 9, 1, 3]]) {
                const counts = [];
                for (let left = height * width; left > 0;) {
                    const run = Math.min(left, (counts.length ? 1 : 0) + Math.floor(Math.random() * 2 * height));
                    counts.push(run);
                    left -= run;
                }
                const text = compressed(counts);
                const found = await desk.page.evaluate(rasterised, { text, height, width, rows, columns });
                assert.deepEqual(found.counts, counts, text);
                assert.deepEqual(found.shown, sampled({ size: [height, width], counts }, [rows, columns]).counts, `${rows} x ${columns} of ${text}`);
            }
        },
    },
];

// COCO's compressed counts (cocoapi, common/maskApi.c, rleToString).
function compressed(counts) {
    return counts.map((count, i) => {
        let value = i > 2 ? count - counts[i - 2] : count;
        let text = '';
        for (let more = true; more;) {
            const group = value & 31;
            value >>= 5;
            more = group & 16 ? value !== -1 : value !== 0;
            text += String.fromCharCode(48 + (more ? group | 32 : group));
        }
        return text;
    }).join('');
}

// In the page: what its decoder makes of a text, and the runs of what is painted.
async function rasterised({ text, height, width, rows, columns }) {
    const { Grid, countsOf, covers } = await import('/mask.js');
    const mask = { bbox: [0, 0, width, height], segmentation: { size: [height, width], counts: text } };
    const raster = new Grid(width, height, columns, rows).raster(mask);
    const shown = [0];
    let value = false;
    for (let x = 0; x < columns; x++)
        for (let y = 0; y < rows; y++) {
            if (covers(raster, x, y) !== value) {
                shown.push(0);
                value = !value;
            }
            shown[shown.length - 1]++;
        }
    return { counts: countsOf(text), shown };
}
