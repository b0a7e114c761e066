// Writes pictures of the pages in both themes and two sizes: node e2e/screenshots.mjs FOLDER
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { baseURL, launch, login } from './browser.mjs';

const folder = process.argv[2];
if (!folder) {
  console.error('usage: node e2e/screenshots.mjs FOLDER');
  process.exit(2);
}

const SIZES = { wide: { width: 1440, height: 900 }, phone: { width: 390, height: 844 } };
/** Time for fonts, history and the first live readings to be on the picture. */
const SETTLE_MS = 2_500;

await mkdir(folder, { recursive: true });
const browser = await launch();
try {
  for (const theme of ['dark', 'light']) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const phone = size === 'phone';
      const context = await browser.newContext({ viewport, hasTouch: phone, isMobile: phone, locale: 'en-GB', colorScheme: theme });
      const page = await context.newPage();
      const shoot = async (name, options = {}) => {
        await page.waitForTimeout(SETTLE_MS);
        await page.screenshot({ path: join(folder, `${name}-${theme}-${size}.png`), ...options });
      };
      await page.goto(`${baseURL}/login`);
      await shoot('login');
      await login(page);
      await page.waitForSelector('tr[data-serial]');
      await shoot('fleet');
      await page.locator('tr[data-serial] a').first().click();
      await page.waitForSelector('.u-over');
      await shoot('kiosk');
      await page.goto(`${page.url().split('?')[0]}?metric=hardware.cpu_temp,environmental.temperature,network.latency&range=15m`);
      await page.waitForSelector('.u-over');
      await page.locator('.charts').evaluate((charts) => charts.closest('section').scrollIntoView());
      await shoot('history');
      await page.goto(`${baseURL}/dead-letters`);
      await page.waitForSelector('[data-intake-line]');
      await shoot('dead-letters');
      for (const name of ['alerts', 'rules', 'rules/cpu_temp_high', 'silences', 'notifications', 'availability', 'visits', 'anomalies', 'models']) {
        await page.goto(`${baseURL}/${name}`);
        await page.waitForSelector('h1');
        await shoot(name.replace('/', '-'));
      }
      await page.goto(`${baseURL}/anomalies`);
      await page.waitForSelector('[data-anomalies]');
      const anomaly = page.locator('[data-anomaly] a').first();
      if (await anomaly.count()) {
        await anomaly.click();
        await page.waitForSelector('.u-over');
        await shoot('anomaly', { fullPage: true });
      }
      await context.close();
    }
  }
} finally {
  await browser.close();
}
