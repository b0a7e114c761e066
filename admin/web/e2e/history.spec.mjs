// The charts of a kiosk in a real browser against a server where KIOSKFLEET_SERIAL, of Europe/Madrid, has a day of
// readings every 30 s, with hardware.cpu_temp going between 40 and 60 and custom.soda, and none in the hour that
// began 13 h ago; and goes on sending every two seconds:
//   KIOSKFLEET_PASSWORD=… KIOSKFLEET_SERIAL=… node --test e2e/history.spec.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseURL, login } from './browser.mjs';
import { watched } from './watched.mjs';

const serial = process.env.KIOSKFLEET_SERIAL ?? 'SIM-KIOSK-HISTORY';
const CPU = 'hardware.cpu_temp';
const SODA = 'custom.soda';
const SECONDS = { '10s': 10, '30s': 30, '1m': 60, '2m': 120, '5m': 300 };

const { page, consoleErrors } = await watched({ viewport: { width: 1440, height: 1000 }, timezoneId: 'America/New_York' });
/** What was asked of POST /query, in order. */
const queries = [];
page.on('request', (request) => {
  if (request.url().endsWith('/api/v1/query')) queries.push(request.postDataJSON());
});

const chart = (metric) => page.locator(`[data-chart="${metric}"]`);
const plot = (metric) => chart(metric).locator('.u-over');

/** Waits until a chart shows points of a step, and returns how many. */
async function shown(metric, step) {
  const handle = await page.waitForFunction(
    ([name, wanted]) => {
      const found = document.querySelector(`[data-chart="${name}"]`);
      const ready = found?.querySelector(`[data-step="${wanted}"]`) && found.querySelector('[aria-busy="false"]');
      return ready && Number(found.dataset.points);
    },
    [metric, step],
  );
  return handle.jsonValue();
}

/** How many pixels of the plot are painted in the column of a place from 0, left, to 1. */
const painted = (metric, place) => chart(metric).locator('canvas').evaluate((canvas, at) => {
  const over = canvas.closest('.u-wrap').querySelector('.u-over');
  const ratio = canvas.width / canvas.clientWidth;
  const x = Math.round((over.offsetLeft + over.clientWidth * at) * ratio);
  const { data } = canvas.getContext('2d').getImageData(x, over.offsetTop * ratio, 1, over.clientHeight * ratio);
  let n = 0;
  for (let i = 3; i < data.length; i += 4) if (data[i] > 0) n++;
  return n / (data.length / 4);
}, place);

async function drag(metric, from, to) {
  const box = await plot(metric).boundingBox();
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * to, y, { steps: 5 });
  await page.mouse.up();
}

const last = () => queries.at(-1);
const hours = ({ from, to }) => (Date.parse(to) - Date.parse(from)) / 3_600_000;

test('somebody looks into the history of a kiosk', async (t) => {
  await t.test('the kiosk opens with its usual chart', async () => {
    await page.goto(`${baseURL}/login?next=/kiosks/${serial}`);
    await login(page);
    await plot(CPU).waitFor();
  });

  await t.test('another metric is picked, also one that nobody listed, and the address holds both', async () => {
    await page.getByRole('button', { name: /Metrics/ }).click();
    await page.getByRole('checkbox', { name: /Soda/ }).check();
    await plot(SODA).waitFor();
    await page.keyboard.press('Escape');
    assert.equal(new URL(page.url()).search, `?metric=${CPU},${SODA}`);
  });

  await t.test('24 h come as windows, in one request for each chart', async () => {
    queries.length = 0;
    await page.getByText('24 h', { exact: true }).click();
    const points = await shown(CPU, '5m');
    assert.ok(points > 260 && points < 285, `${points} windows of 5 min in 23 h`);
    await shown(SODA, '5m');
    assert.match(page.url(), /range=24h/);
    assert.equal(queries.length, 2);
    assert.deepEqual(last().series.map(({ agg }) => agg), ['mean', 'min', 'max', 'count']);
  });

  await t.test('the band reaches from least to greatest, and the gap stays one', async () => {
    assert.ok((await painted(CPU, 0.7)) > 0.3, 'a band');
    // The hour that began 13 h ago is from 45.8 % to 50 % of the day.
    assert.ok((await painted(CPU, 0.48)) < 0.2, 'a gap');
  });

  await t.test('the tooltip names value, least, greatest, time and source; the other chart follows', async () => {
    const box = await plot(CPU).boundingBox();
    await page.mouse.move(box.x + box.width * 0.7, box.y + box.height / 2);
    const tip = page.locator(`[data-tip="${CPU}"]`);
    await tip.waitFor();
    assert.match(await tip.innerText(), /50\.0 °C\s+40\.0 °C to 60\.0 °C\s+.*\d\d:\d[05]:00.*\s+5 min from then · 10 readings\s+from/);
    assert.match(await page.locator(`[data-tip="${SODA}"]`).innerText(), /^\d/);
  });

  let zoomed;
  await t.test('a drag zooms, and finer data are asked for', async () => {
    queries.length = 0;
    await drag(CPU, 0.6, 0.85);
    await page.waitForURL(/zoom=/);
    await shown(CPU, '1m');
    await shown(SODA, '1m');
    assert.ok(hours(last()) > 5.5 && hours(last()) < 6.5, `asked for ${hours(last())} h`);
    zoomed = page.url();
  });

  await t.test('the keyboard zooms on, moves, and returns by Escape', async () => {
    await page.getByRole('group', { name: 'History' }).focus();
    queries.length = 0;
    // Two strokes in a row are one step, with one request for each chart.
    await page.keyboard.press('+');
    await page.keyboard.press('+');
    await page.waitForFunction((before) => location.href !== before, zoomed);
    await page.waitForFunction(() => document.querySelector('[data-chart] [aria-busy="false"]'));
    assert.ok(SECONDS[last().step] < 60, `step ${last().step}`);
    assert.equal(queries.length, 2);
    const before = await page.innerText('[data-span]');
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction((text) => document.querySelector('[data-span]').innerText !== text, before);
    await page.keyboard.press('Escape');
    await page.waitForFunction(() => !location.search.includes('zoom'));
    await shown(CPU, '5m');
  });

  await t.test('the back button goes through every step, and a reload keeps the place', async () => {
    while (!page.url().includes('zoom')) await page.goBack();
    await page.waitForFunction(() => location.search.includes('zoom'));
    while (page.url() !== zoomed) await page.goBack();
    await shown(CPU, '1m');
    await page.reload();
    await shown(CPU, '1m');
    await page.goBack();
    await shown(CPU, '5m');
    assert.doesNotMatch(page.url(), /zoom/);
  });

  await t.test('times are the kiosk’s or the viewer’s', async () => {
    const mine = await page.innerText('[data-span]');
    await page.getByText('Kiosk’s time').click();
    await page.waitForFunction((text) => document.querySelector('[data-span]').innerText !== text, mine);
    assert.match(page.url(), /tz=kiosk/);
    await page.getByText('My time').click();
  });

  await t.test('a typed range says what is wrong with it', async () => {
    await page.getByRole('button', { name: 'From … to' }).click();
    const form = page.locator('[data-custom-range]');
    await form.locator('[name=from]').fill('2020-03-02T00:00:00');
    await form.locator('[name=to]').fill('2020-03-01T00:00:00');
    await form.getByRole('button').click();
    await form.getByText('The end must be after the beginning.').waitFor();
    await form.locator('[name=to]').fill('2020-03-03T00:00:00');
    await form.getByRole('button').click();
    await page.waitForURL(/from=2020-03-02T05:00:00Z&to=2020-03-03T05:00:00Z/);
  });

  await t.test('where there is nothing, the newest reading is offered', async () => {
    const empty = chart(CPU).locator('[data-note]');
    await empty.getByText('No readings in this range.').waitFor();
    await empty.getByRole('button', { name: /Newest/ }).click();
    await page.waitForFunction((name) => Number(document.querySelector(`[data-chart="${name}"]`).dataset.points) > 0, CPU);
    assert.match(page.url(), /zoom=/);
  });

  await t.test('live readings are appended, not asked for', async () => {
    await page.getByText('15 min', { exact: true }).click();
    const before = await shown(CPU, 'raw');
    queries.length = 0;
    await page.waitForFunction(([name, n]) => Number(document.querySelector(`[data-chart="${name}"]`).dataset.points) > n + 2, [CPU, before]);
    assert.equal(queries.length, 0);
  });

  await t.test('the table says the same in figures', async () => {
    await page.getByRole('button', { name: 'Table' }).click();
    const table = page.locator('[data-table] table');
    assert.match(await table.locator('thead').innerText(), /CPU temperature[^]*Soda/);
    assert.ok((await table.locator('tbody tr').count()) > 5);
  });

  await t.test('an unknown metric says so, with the near name, beside a chart that works', async () => {
    assert.deepEqual(consoleErrors, [], 'nothing went wrong unseen');
    await page.goto(`${baseURL}/kiosks/${serial}?metric=${CPU},hardware.cpu_tmp`);
    await chart('hardware.cpu_tmp').getByText(/near names are hardware\.cpu_temp/).waitFor();
    await page.waitForFunction((name) => Number(document.querySelector(`[data-chart="${name}"]`).dataset.points) > 0, CPU);
  });
});
