// Everything mode: all masks in colours, of which one is picked.
import assert from 'node:assert/strict';

import { best } from './desk.mjs';

const JUG = [590, 400];

// Fewer points than by default, to be quick.
async function findEverything(desk, start) {
    await desk.page.route('**/everything', (route) => (route.request().method() === 'POST'
        ? route.continue({ postData: '{"points_per_side":8}' }) : route.continue()));
    await start();
    await desk.status(/^\d+ objects?: click one$/);
    const { status, body } = await desk.api(undefined, { method: 'GET', path: '/everything?format=coco_rle_uncompressed' });
    assert.equal(status, 200, JSON.stringify(body));
    return body.masks;
}

// The pixels that some of the masks have, as runs.
function unionOf(masks, size) {
    const pixels = new Uint8Array(size[0] * size[1]);
    for (const { segmentation } of masks) {
        let place = 0;
        segmentation.counts.forEach((count, i) => {
            if (i % 2)
                pixels.fill(1, place, place + count);
            place += count;
        });
    }
    const counts = [0];
    for (let i = 0, value = 0; i < pixels.length; i++) {
        if (pixels[i] !== value)
            counts.push(0);
        value = pixels[i];
        counts[counts.length - 1]++;
    }
    return counts;
}

const has = ({ size: [height], counts }, [x, y]) => {
    let place = x * height + y;
    return counts.findIndex((count) => { place -= count; return place < 0; }) % 2 === 1;
};

export const tests = [
    {
        name: 'everything: all masks show, one lights up under the pointer, a click picks it',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            const masks = await findEverything(desk, () => page.click('#everything'));
            assert.ok(masks.length >= 4, `${masks.length} masks`);
            assert.deepEqual((await desk.layer('mask')).counts, unionOf(masks, [720, 1080]));
            const asked = desk.requests.length;
            const [jug] = masks.filter(({ segmentation }) => has(segmentation, JUG)).sort((a, b) => a.area - b.area);
            await page.mouse.move(...desk.at(JUG));
            await desk.shows('preview', jug);
            await desk.click(JUG);
            await desk.shows('mask', jug);
            assert.equal(desk.requests.length, asked, 'something was asked for');
            await page.selectOption('#format', 'coco_rle');
            const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
            assert.ok(await download.path());
            await desk.click([692, 300], { modifier: 'Shift' });
            const prior = { mask: jug.segmentation, points: [[692, 300]], labels: [0] };
            await desk.shows('mask', best(await desk.masks({ ...prior, multimask: true })));
            await page.click('#undo');
            await desk.shows('mask', jug);
        },
    },
    {
        name: 'everything by keyboard, left by Escape',
        async test(desk) {
            await desk.openSample();
            await findEverything(desk, () => desk.press('e'));
            await desk.press('ArrowRight', 'ArrowLeft');
            await desk.waitPreview();
            await desk.settled(() => desk.press('Enter'));
            await desk.press('e');
            await desk.status(/objects?: click one/);
            await desk.press('Escape');
            await desk.status(/^Mask of/);
            await desk.press('Escape');
            assert.equal((await desk.layer('mask')).counts.length, 1, 'not empty');
        },
    },
];
