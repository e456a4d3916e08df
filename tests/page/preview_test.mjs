// What shows under the pointer before anything is clicked.
import assert from 'node:assert/strict';

const JUG = [590, 400];
const APPLE = [300, 470];
const WALL = [900, 100];

const isPrompt = (request) => request.url().endsWith('/segment');
const pointOf = (request) => JSON.parse(request.postData()).points?.at(-1);

// Answers to prompts at a point are held back until release().
async function holdBack(desk, point) {
    let release;
    const released = new Promise((resolve) => { release = resolve; });
    await desk.page.route('**/segment', async (route) => {
        if (String(pointOf(route.request())) === String(point))
            await released;
        await route.continue().catch(() => {}); // it may be given up by now
    });
    return release;
}

// Moves between which no time passes.
function moveAtOnce(places) {
    for (const [clientX, clientY] of places)
        document.getElementById('stage').dispatchEvent(new PointerEvent('pointerrawupdate', { clientX, clientY, pointerType: 'mouse' }));
}

export const tests = [
    {
        name: 'the object under the pointer shows, and goes with the pointer',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await page.mouse.move(...desk.at(JUG));
            await desk.waitPreview();
            await desk.shows('preview', (await desk.masks({ points: [JUG] }))[0]);
            assert.ok(!(await desk.layer('mask')).counts.some((_, i) => i > 0), 'something is selected');
            await page.mouse.move(5, 5);
            assert.equal(await desk.hasPreview(), false);
            const sizes = desk.requests.filter(isPrompt).map((request) => request.postData().length);
            assert.ok(Math.max(...sizes) < 50, `requests of ${sizes} bytes`);
        },
    },
    {
        name: 'beside a mask, what a click would make of it shows',
        async test(desk) {
            await desk.openSample();
            await desk.click(JUG);
            await desk.page.mouse.move(...desk.at(APPLE));
            await desk.waitPreview();
            await desk.shows('preview', (await desk.masks({ points: [JUG, APPLE] }))[0]);
            await desk.page.keyboard.down('Shift');
            await desk.page.mouse.move(...desk.at([301, 470]));
            const removed = (await desk.masks({ points: [JUG, [301, 470]], labels: [1, 0] }))[0];
            await desk.page.waitForFunction(() => performance.getEntriesByName('preview').length > 0);
            await desk.page.waitForTimeout(300);
            await desk.shows('preview', removed);
        },
    },
    {
        name: 'one request at a time, the newest position next, the stale one given up and never shown',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            const release = await holdBack(desk, WALL);
            await page.mouse.move(...desk.at(WALL));
            await page.evaluate(moveAtOnce, [[700, 200], JUG].map((point) => desk.at(point)));
            await desk.waitPreview();
            const jug = (await desk.masks({ points: [JUG] }))[0];
            await desk.shows('preview', jug);
            release();
            await page.waitForTimeout(300);
            await desk.shows('preview', jug);
            const asked = desk.requests.filter(isPrompt).map(pointOf);
            assert.deepEqual(asked, [WALL, JUG], 'what was asked about');
            assert.deepEqual(desk.aborted.filter(isPrompt).map(pointOf), [WALL], 'what was given up');
        },
    },
    {
        name: 'a pointer that leaves gives up its request',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            const release = await holdBack(desk, JUG);
            await page.mouse.move(...desk.at(JUG));
            await page.waitForRequest(isPrompt, { timeout: 1000 }).catch(() => {});
            await page.mouse.move(5, 5);
            release();
            await page.waitForTimeout(300);
            assert.equal(await desk.hasPreview(), false);
            assert.equal(desk.aborted.filter(isPrompt).length, 1);
        },
    },
];
