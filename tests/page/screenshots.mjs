// Pictures of the page for README: screenshots.mjs PACKAGES URL DIRECTORY
import path from 'node:path';
import process from 'node:process';

import { Desk, launch } from './desk.mjs';

const [packages, url, directory] = process.argv.slice(2);

const WINDOWS = {
    page: { viewport: { width: 1280, height: 780 } },
    'page-phone': { viewport: { width: 375, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: 'dark' },
};

const browser = await launch(packages);
for (const [name, window] of Object.entries(WINDOWS)) {
    const desk = new Desk(await browser.newPage(window), url);
    await desk.openSample();
    await desk.click([590, 400]);
    if (!window.isMobile)
        await desk.page.mouse.move(5, 300);
    await desk.page.waitForTimeout(500);
    await desk.page.screenshot({ path: path.join(directory, `${name}.png`) });
}
await browser.close();
