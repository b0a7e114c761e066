// Anomalies in a real browser against a server on which KIOSKFLEET_SERIAL has two: one that goes on, of cpu_temp
// beside cpu_usage, with what was expected, and one of humidity that is over:
//   KIOSKFLEET_PASSWORD=… KIOSKFLEET_SERIAL=… node --test e2e/anomalies.spec.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseURL, login } from './browser.mjs';
import { watched } from './watched.mjs';

const serial = process.env.KIOSKFLEET_SERIAL ?? 'SIM-KIOSK-ODD';

const { page, consoleErrors } = await watched();

const row = (state) => page.locator(`[data-anomaly][data-serial="${serial}"]${state ? `[data-state="${state}"]` : ''}`);

/** Waits until as many anomalies of the kiosk are listed. */
const listed = (n) =>
  page.waitForFunction(([selector, wanted]) => document.querySelectorAll(selector).length === wanted, [`[data-anomaly][data-serial="${serial}"]`, n]);

test('an operator looks at what is unusual and says what it was worth', async (t) => {
  await t.test('the rail leads to the list, with what goes on first', async () => {
    await page.goto(`${baseURL}/login`);
    await login(page);
    await page.waitForURL(`${baseURL}/`);
    await page.getByRole('link', { name: 'Anomalies', exact: true }).click();
    await page.waitForURL('**/anomalies');
    await listed(2);
    assert.deepEqual(await row().evaluateAll((rows) => rows.map((one) => one.dataset.state)), ['open', 'closed']);
    assert.match(await page.innerText('[data-group="open"]'), /CPU temperature is 63 °C/);
    const sensors = await row('open').locator('[data-sensor]').evaluateAll((bars) => bars.map((bar) => bar.dataset.sensor));
    assert.deepEqual(sensors, ['hardware.cpu_temp', 'hardware.cpu_usage']);
  });

  await t.test('a filter narrows it, and the address bar holds it', async () => {
    await page.getByLabel('Kind').selectOption('stuck');
    await listed(1);
    assert.match(page.url(), /kind=stuck/);
    await page.reload();
    await listed(1);
    assert.equal(await row('closed').count(), 1);
    await page.getByRole('button', { name: 'Clear filters' }).click();
    await listed(2);
    await page.getByText('Over', { exact: true }).click();
    await listed(1);
    await page.getByText('All', { exact: true }).click();
    await listed(2);
  });

  await t.test('a filter that nothing passes says so, and that nothing goes on is no matter of filters', async () => {
    await page.goto(`${baseURL}/anomalies?kind=peers`);
    await page.getByText('None with these filters').waitFor();
    await page.goto(`${baseURL}/anomalies?state=open&serial=${serial}`);
    await listed(1);
    await page.route('**/api/v1/anomalies?*', (route) => route.fulfill({ json: { items: [] } }));
    await page.goto(`${baseURL}/anomalies?state=open`);
    await page.getByRole('heading', { name: 'Nothing unusual goes on' }).waitFor();
    await page.unroute('**/api/v1/anomalies?*');
    await page.goto(`${baseURL}/anomalies`);
    await listed(2);
  });

  await t.test('a word is kept from the list, by the keyboard as well', async () => {
    await row('closed').getByRole('group', { name: serial }).locator('[data-verdict="noise"]').focus();
    await page.keyboard.press('Enter');
    await row('closed').locator('[data-verdict="noise"][aria-pressed="true"]').waitFor();
    await page.reload();
    await row('closed').locator('[data-verdict="noise"][aria-pressed="true"]').waitFor();
  });

  await t.test('opened, it shows the curve beside what was expected', async () => {
    await row('open').getByRole('link').click();
    await page.locator('[data-one-anomaly][data-state="open"]').waitFor();
    assert.match(await page.innerText('h1'), /CPU temperature is 63 °C/);
    const chart = page.locator('[data-sensor-chart="hardware.cpu_temp"]');
    assert.ok(Number(await chart.getAttribute('data-expected')) > 1, 'the expected band is there');
    await page.waitForFunction(() => Number(document.querySelector('[data-curve="hardware.cpu_temp"]')?.dataset.points) > 10);
    await page.locator('[data-sensor-chart="anomaly.score"]').waitFor();
    assert.equal(await page.locator(`dd a[href="/kiosks/${serial}"]`).count(), 1);
  });

  await t.test('it is called useful, with a comment, and changed again', async () => {
    await page.locator('[data-feedback="none"] [data-verdict="useful"]').click();
    await page.locator('[data-feedback="useful"]').waitFor();
    await page.fill('textarea[name="comment"]', 'The fan was dead.');
    await page.getByRole('button', { name: 'Keep comment' }).click();
    await page.getByRole('button', { name: 'Keep comment' }).and(page.locator(':disabled')).waitFor();
    await page.reload();
    await page.locator('[data-feedback="useful"]').waitFor();
    assert.equal(await page.inputValue('textarea[name="comment"]'), 'The fan was dead.');
    await page.click('[data-verdict="noise"]');
    await page.locator('[data-feedback="noise"]').waitFor();
    assert.equal(await page.inputValue('textarea[name="comment"]'), 'The fan was dead.');
  });

  await t.test('the models page says what that made of the budgets, and takes it back', async () => {
    await page.getByRole('link', { name: 'Models', exact: true }).click();
    await page.locator('[data-tuning="hardware.cpu_temp"]').getByText('× 1/2').waitFor();
    await page.locator('[data-model="built-in"][data-state="current"]').getByText('at work').waitFor();
    assert.deepEqual(await page.locator('[data-model]').evaluateAll((models) => models.map((one) => one.dataset.model)), ['built-in']);
    assert.equal(await page.locator('[data-deed="rollback"]').count(), 0, 'there is nothing to go back to');
    await page.locator('[data-tuning="environmental.humidity"] [data-deed="reset"]').click();
    await page.locator('[data-tuning="environmental.humidity"]').waitFor({ state: 'detached' });
    assert.equal(await page.locator('[data-tuning="hardware.cpu_temp"]').count(), 1);
  });

  await t.test('the kiosk says how unusual it is, and leads to its anomalies', async () => {
    await page.goto(`${baseURL}/kiosks/${serial}`);
    await page.locator('[data-kiosk-anomaly]').waitFor();
    await page.getByRole('link', { name: 'Anomalies of this kiosk' }).click();
    await page.waitForURL(`**/anomalies?serial=${serial}`);
    await listed(2);
  });

  await t.test('on a phone nothing reaches beyond the edge', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    for (const [path, shown] of [['anomalies', '[data-anomaly]'], [`anomalies/${serial}.1`, '[data-curve="anomaly.score"][aria-busy="false"]'], ['models', '[data-tuning]']]) {
      await page.goto(`${baseURL}/${path}`);
      await page.locator(shown).first().waitFor();
      const beyond = await page.locator('main *').evaluateAll((all) =>
        all.filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 100)));
      assert.deepEqual(beyond, [], path);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  await t.test('one that is not there is missing, in words', async () => {
    await page.goto(`${baseURL}/anomalies/none`);
    await page.getByText('There is no such anomaly').waitFor();
    // The browser itself logs the 404 that was asked for.
    consoleErrors.length = 0;
  });

  await t.test('nothing went wrong unseen', () => {
    assert.deepEqual(consoleErrors, []);
  });
});
