// Drives the page in Chromium: run.mjs PACKAGES URL KEYED_URL KEY [PATTERN]
//
// Each test has a window of its own. The last line is "page: N passed, M failed, K skipped".
import process from 'node:process';

import { Desk, launch } from './desk.mjs';
import { tests as everything } from './everything_test.mjs';
import { tests as files } from './files_test.mjs';
import { tests as keyboard } from './keyboard_test.mjs';
import { tests as layout } from './layout_test.mjs';
import { tests as prompts } from './prompts_test.mjs';
import { tests as preview } from './preview_test.mjs';

const [packages, url, keyedUrl, key, pattern = ''] = process.argv.slice(2);

// As large as it takes to show the sample pixel by pixel.
const WINDOW = { width: 1400, height: 900 };

const browser = await launch(packages);

async function run({ window = {}, keyed = false, test }) {
    const context = await browser.newContext({ viewport: WINDOW, ...window });
    context.setDefaultTimeout(30000 * Number(process.env.MASKD_TEST_SLOWDOWN ?? 1));
    try {
        const desk = new Desk(await context.newPage(), keyed ? keyedUrl : url);
        await test(desk, { context, key });
        desk.check();
    } finally {
        await context.close();
    }
}

const counts = { passed: 0, failed: 0 };
for (const one of [...prompts, ...preview, ...everything, ...keyboard, ...files, ...layout]) {
    if (!one.name.includes(pattern))
        continue;
    const started = performance.now();
    try {
        await run(one);
        counts.passed++;
        if (process.env.VERBOSE)
            console.log(`done ${one.name} ${Math.round(performance.now() - started)} ms`);
    } catch (error) {
        counts.failed++;
        console.log(`FAIL ${one.name}: ${error.stack.split('\n').slice(0, 12).join('\n  ')}`);
    }
}
await browser.close();
console.log(`page: ${counts.passed} passed, ${counts.failed} failed, 0 skipped`);
process.exitCode = counts.failed || counts.passed === 0 ? 1 : 0;
