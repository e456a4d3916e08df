// Images on their way in, masks on their way out, and the key that either may need.
import assert from 'node:assert/strict';
import fs from 'node:fs';

const JUG = [590, 400];
const SAMPLE = new URL('../../api/page/sample.jpg', import.meta.url);

// A drop, or a paste, of bytes as a file.
function hand({ kind, name, type, base64 }) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], name, { type }));
    const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: data, bubbles: true })
        : new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
}

async function downloaded(desk, format) {
    await desk.page.selectOption('#format', format);
    const [download] = await Promise.all([desk.page.waitForEvent('download'), desk.page.click('#download')]);
    return { name: download.suggestedFilename(), bytes: fs.readFileSync(await download.path()) };
}

export const tests = [
    {
        name: 'an image that is chosen, dropped or pasted',
        async test(desk) {
            const { page } = desk;
            const base64 = fs.readFileSync(SAMPLE).toString('base64');
            await page.goto(`${desk.url}/`);
            await page.setInputFiles('#file', SAMPLE.pathname);
            await desk.ready();
            for (const kind of ['drop', 'paste']) {
                await page.reload();
                await page.evaluate(hand, { kind, name: 'still-life.jpg', type: 'image/jpeg', base64 });
                await desk.ready();
                assert.match(await page.getAttribute('#stage', 'aria-label'), /^still-life.jpg, 1080 by 720 pixels$/);
            }
        },
    },
    {
        name: 'what is no image is told in words',
        async test(desk) {
            desk.allowed.push(/415/);
            await desk.page.goto(`${desk.url}/`);
            await desk.page.evaluate(hand, { kind: 'drop', name: 'a.txt', type: 'text/plain', base64: btoa('text') });
            await desk.page.waitForSelector('#status.error');
            assert.match(await desk.page.textContent('#status'), /image/);
            assert.ok(await desk.page.isVisible('#welcome'));
        },
    },
    {
        name: 'download in every format that there is',
        async test(desk) {
            await desk.openSample();
            await desk.click(JUG);
            const masks = (await desk.api({ points: [JUG], labels: [1], multimask: true })).body.masks;
            const index = masks.reduce((found, mask, i) => (mask.predicted_iou > masks[found].predicted_iou ? i : found), 0);
            const formats = await desk.page.locator('#format option').evaluateAll((options) => options.map(({ value }) => value));
            assert.equal(formats.length, 7);
            for (const format of formats) {
                const { status, body } = await desk.api({ points: [JUG], labels: [1], multimask: true, format });
                assert.equal(status, 200, format);
                const { segmentation } = body.masks[index];
                const { name, bytes } = await downloaded(desk, format);
                assert.equal(name, format === 'png' ? 'sample-mask.png' : `sample-${format.replaceAll('_', '-')}.json`);
                if (format === 'png')
                    assert.equal(`data:image/png;base64,${bytes.toString('base64')}`, segmentation);
                else
                    assert.deepEqual(JSON.parse(bytes).segmentation, segmentation);
            }
        },
    },
    {
        name: 'copied: a mask, a picture, a command',
        window: { permissions: ['clipboard-read', 'clipboard-write'] },
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await desk.click(JUG);
            await page.selectOption('#format', 'coco_rle');
            await desk.settled(() => page.click('#copy'), /^Copied/);
            const { segmentation } = JSON.parse(await page.evaluate(() => navigator.clipboard.readText()));
            assert.deepEqual(segmentation.size, [720, 1080]);
            await page.selectOption('#format', 'png');
            await desk.settled(() => page.click('#copy'), /^Copied/);
            const types = await page.evaluate(async () => (await navigator.clipboard.read())[0].types);
            assert.deepEqual(types, ['image/png']);
            await desk.settled(() => page.click('#curl'), /curl/);
            const command = await page.evaluate(() => navigator.clipboard.readText());
            assert.match(command, new RegExp(`^curl -d '.*"points":\\[\\[590,400\\]\\].*' ${desk.url}/v1/images/[0-9a-f]{32}/segment$`));
        },
    },
    {
        name: 'a daemon that asks for a key',
        keyed: true,
        async test(desk, { key }) {
            const { page } = desk;
            desk.allowed.push(/401/);
            await page.goto(`${desk.url}/`);
            await page.click('#try');
            await page.fill('#key', 'not the key at all');
            await page.press('#key', 'Enter');
            await page.waitForFunction(() => document.querySelector('#key-reason').textContent && document.querySelector('#key-dialog').open);
            await page.fill('#key', key);
            await page.click('text=Use this key');
            await desk.ready();
            await desk.settled(() => page.mouse.click(...desk.at(JUG)));
            await page.reload();
            await page.click('#try');
            await desk.ready();
            assert.ok(!(await page.isVisible('#key-dialog')), 'asked again');
        },
    },
    {
        name: 'a key that is not given',
        keyed: true,
        async test(desk) {
            desk.allowed.push(/401/);
            await desk.page.goto(`${desk.url}/`);
            await desk.page.click('#try');
            await desk.page.click('#key-dialog >> text=Cancel');
            await desk.page.waitForSelector('#status.error');
            assert.ok(await desk.page.isVisible('#welcome'));
        },
    },
];
