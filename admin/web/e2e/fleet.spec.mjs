// The page in a real browser against a running server with ten simulated kiosks:
//   KIOSKFLEET_PASSWORD=… node --test e2e/fleet.spec.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseURL, login } from './browser.mjs';
import { watched } from './watched.mjs';

const KIOSKS = 10;
/** Kiosks need a moment to enrol and connect after the server's start. */
const LIVE_MS = 90_000;
const COMMAND_MS = 30_000;

const { page, consoleErrors } = await watched();
const foreignRequests = [];
page.on('request', (request) => {
  const url = new URL(request.url());
  if (url.protocol !== 'data:' && url.origin !== new URL(baseURL).origin) foreignRequests.push(request.url());
});

/** Sends a command by its button and waits until its ladder has climbed to the end. */
async function command(name) {
  const known = new Set(await page.locator('[data-command-id]').evaluateAll((rows) => rows.map((row) => row.dataset.commandId)));
  await page.click(`[data-command="${name}"]`);
  const confirm = page.locator(`dialog [data-confirm="${name}"]`);
  if (name === 'block') {
    const dialog = page.locator('dialog');
    assert.match(await dialog.innerText(), new RegExp(await page.innerText('h1')), 'the question must name the kiosk');
    await confirm.click();
  }
  const row = page.locator(`[data-command-id][data-name="${name}"]`).first();
  await row.waitFor();
  await page.waitForFunction(
    ([wanted, before]) => {
      const newest = document.querySelector(`[data-command-id][data-name="${wanted}"]`);
      return newest && !before.includes(newest.dataset.commandId) && ['succeeded', 'verified'].includes(newest.dataset.status);
    },
    [name, [...known]],
    { timeout: COMMAND_MS },
  );
  for (const rung of ['queued', 'sent', 'received']) {
    assert.ok(await row.locator(`[data-rung="${rung}"]`).isVisible(), `the ladder must show ${rung}`);
  }
}

const listRow = (serial) => page.locator(`tr[data-serial="${serial}"]`);

test('an operator logs in, blocks a kiosk, sees it proved, and unblocks it', async (t) => {
  let serial;

  await t.test('a wrong password is refused in words', async () => {
    await page.goto(`${baseURL}/login`);
    await page.fill('input[name=username]', 'admin');
    await page.fill('input[name=password]', 'certainly-wrong');
    await page.click('button[type=submit]');
    await page.getByText('User name or password is wrong.').waitFor();
    // The browser itself logs the refused request; that is what was asked for.
    consoleErrors.length = 0;
  });

  await t.test('ten kiosks come alive', async () => {
    await login(page);
    await page.waitForSelector('table');
    await page.waitForFunction(
      (wanted) => [...document.querySelectorAll('tr[data-serial]')].filter((row) => row.querySelector('.presence.online')).length >= wanted,
      KIOSKS,
      { timeout: LIVE_MS },
    );
    assert.match(await page.locator('header').innerText(), /live/);
  });

  await t.test('one of them opens', async () => {
    const row = page.locator('tr[data-serial]:not([data-verdict="cannot_serve"])').last();
    serial = await row.getAttribute('data-serial');
    await row.locator('a').click();
    await page.waitForURL(`**/kiosks/${serial}`);
    assert.equal(await page.innerText('h1'), serial);
    await page.waitForSelector('[data-metric="hardware.cpu_temp"]');
    await page.waitForSelector('.u-over');
  });

  await t.test('Block climbs its ladder', () => command('block'));

  await t.test('the verdict says so, with the reason, on the page and in the list', async () => {
    await page.waitForSelector('section [data-verdict="cannot_serve"]');
    await page.getByRole('link', { name: 'Fleet', exact: true }).click();
    const row = listRow(serial);
    await row.and(page.locator('[data-verdict="cannot_serve"]')).waitFor({ timeout: COMMAND_MS });
    assert.match(await row.innerText(), /Cannot serve/);
    assert.match(await row.locator('td.reason').getAttribute('title'), /Blocked/);
  });

  await t.test('Unblock climbs its ladder and the kiosk is no longer blocked', async () => {
    await listRow(serial).locator('a').click();
    await page.waitForSelector('[data-command="unblock"]');
    await command('unblock');
    await page.waitForSelector('[data-command="block"]', { timeout: COMMAND_MS });
  });

  await t.test('nothing went wrong unseen, and nothing foreign was asked', () => {
    assert.deepEqual(consoleErrors, []);
    assert.deepEqual(foreignRequests, []);
  });
});
