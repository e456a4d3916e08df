// Everything without a mouse.
import assert from 'node:assert/strict';

import { best } from './desk.mjs';

export const tests = [
    {
        name: 'by keyboard alone: sample, crosshair, points, box, candidates, undo, clear',
        async test(desk) {
            const { page } = desk;
            await page.goto(`${desk.url}/`);
            await desk.press('Tab', 'Tab');
            assert.equal(await page.evaluate(() => document.activeElement.id), 'try');
            await desk.press('Enter');
            await page.waitForFunction(() => document.activeElement.id === 'stage');
            await page.waitForSelector('.crosshair');
            await desk.measure();
            desk.size = [1080, 720];
            await desk.press('ArrowRight', 'ArrowRight', 'Shift+ArrowRight', 'ArrowUp', 'Shift+ArrowDown');
            const first = [540 + 21, 360 - 9];
            await desk.waitPreview();
            await desk.settled(() => desk.press('Enter'));
            const masks = await desk.masks({ points: [first], multimask: true });
            await desk.shows('mask', best(masks));
            await desk.press('3');
            await desk.shows('mask', masks[2]);
            await desk.press('0', 'ArrowLeft', 'ArrowLeft');
            const second = [first[0] - 20, first[1]];
            await desk.settled(() => desk.press('-'));
            await desk.shows('mask', (await desk.masks({ points: [first, second], labels: [1, 0] }))[0]);
            await desk.press('u');
            await desk.shows('mask', best(masks));
            await desk.press('Escape');
            assert.equal((await desk.layer('mask')).counts.length, 1, 'not cleared');
            await desk.press('b', 'ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowDown', 'ArrowDown');
            assert.equal(await page.locator('.draft').count(), 2);
            await desk.settled(() => desk.press('b'));
            const box = [...second, second[0] + 30, second[1] + 20];
            await desk.shows('mask', best(await desk.masks({ box, multimask: true })));
        },
    },
    {
        name: 'keys do nothing in fields and dialogs, and the list of keys opens and closes',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await desk.click([590, 400]);
            const mask = await desk.layer('mask');
            await desk.press('?');
            assert.ok(await page.isVisible('#keys-dialog'));
            await desk.press('u', 'Escape');
            assert.ok(!(await page.isVisible('#keys-dialog')));
            await page.focus('#format');
            await desk.press('u');
            assert.deepEqual(await desk.layer('mask'), mask);
        },
    },
    {
        name: 'every control can be reached, is named, and shows that it has the focus',
        async test(desk) {
            const { page } = desk;
            await desk.openSample();
            await desk.click([590, 400]);
            const reached = new Set();
            for (let i = 0; i < 30; i++) {
                await desk.press('Tab');
                const { id, name, outline } = await page.evaluate(() => {
                    const element = document.activeElement;
                    const look = getComputedStyle(element.matches('[type=radio]') ? element.nextElementSibling : element);
                    const name = element.ariaLabel ?? element.labels?.[0]?.textContent ?? element.textContent;
                    return { id: element.id || element.name || element.dataset.name, name: name.trim(), outline: look.outlineStyle };
                });
                if (id) {
                    assert.ok(name, `${id} has no name`);
                    assert.equal(outline, 'solid', `the focus of ${id}`);
                    reached.add(id);
                }
            }
            for (const id of ['stage', 'label', 'undo', 'clear', '1', '2', '3', 'format', 'download', 'copy', 'curl', 'more', 'open', 'sample'])
                assert.ok(reached.has(id), `${id} is not reached: ${[...reached]}`);
        },
    },
];
