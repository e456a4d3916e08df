// How far a preview is behind the pointer: measure.mjs PACKAGES URL
//
// From the time stamp of the pointer's event until the mask is painted, as the page itself measures it (the User Timing
// measure "preview"); for a pointer that rests between its moves, and for one that never does.
import process from 'node:process';

import { Desk, launch } from './desk.mjs';

const [packages, url] = process.argv.slice(2);

function summary(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]?.toFixed(1);
    return `${values.length} previews, median ${at(0.5)} ms, p90 ${at(0.9)} ms, most ${at(1)} ms`;
}

// Along a curve that crosses the objects.
async function wander(desk, moves, pause) {
    for (let i = 0; i < moves; i++) {
        const angle = (i / 50) * 2 * Math.PI;
        await desk.page.mouse.move(...desk.at([540 + 400 * Math.cos(1.3 * angle), 430 + 220 * Math.sin(2.1 * angle)]));
        await desk.page.waitForTimeout(pause);
    }
    await desk.page.waitForTimeout(500);
}

const browser = await launch(packages);
const page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
const desk = new Desk(page, url);
await desk.openSample();
await page.evaluate(() => {
    window.measured = [];
    new PerformanceObserver((list) => window.measured.push(...list.getEntries().map(({ duration }) => duration)))
        .observe({ entryTypes: ['measure'] });
});
for (const [name, moves, pause] of [['a rest of 150 ms after each move', 60, 150], ['a move every 16 ms', 200, 16]]) {
    await wander(desk, 10, pause);
    await page.evaluate(() => { window.measured = []; });
    await wander(desk, moves, pause);
    console.log(`${name}: ${summary(await page.evaluate(() => window.measured))}; the last request took ` +
        await page.textContent('#time-preview'));
}
await browser.close();
