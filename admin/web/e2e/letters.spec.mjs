// Dead letters in a real browser against a server to which KIOSKFLEET_SERIAL has sent, in this order: broken
// JSON twice, a reading whose cpu_temp is an object, and one that was too early and has become valid:
//   KIOSKFLEET_PASSWORD=… KIOSKFLEET_SERIAL=… node --test e2e/letters.spec.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { baseURL, login } from './browser.mjs';
import { watched } from './watched.mjs';

const serial = process.env.KIOSKFLEET_SERIAL ?? 'SIM-KIOSK-POISON';

const { page, consoleErrors } = await watched();

const letters = (reason) => page.locator(`[data-letter][data-serial="${serial}"]${reason ? `[data-reason="${reason}"]` : ''}`);

/** Waits until as many letters of a reason are listed. */
async function listed(reason, n) {
  await page.waitForFunction(
    ([selector, wanted]) => document.querySelectorAll(selector).length === wanted,
    [`[data-letter][data-serial="${serial}"]${reason ? `[data-reason="${reason}"]` : ''}`, n],
  );
}

const result = (text) => page.locator('.result').getByText(text).waitFor();

test('an operator looks at dead letters, replays what became valid and discards the rest', async (t) => {
  await t.test('the rail leads there, and the intake is calm', async () => {
    await page.goto(`${baseURL}/login`);
    await login(page);
    await page.waitForURL(`${baseURL}/`);
    await page.getByRole('link', { name: 'Dead letters' }).click();
    await page.waitForURL('**/dead-letters');
    assert.equal(await page.innerText('h1'), 'Dead letters');
    assert.match(await page.innerText('[data-intake-line]'), /Journal .* full/);
    assert.equal(await page.locator('[data-intake]').count(), 0);
    await listed('', 4);
  });

  await t.test('the newest is first, and each says why in words', async () => {
    const reasons = await letters().evaluateAll((rows) => rows.map((row) => row.dataset.reason));
    assert.deepEqual(reasons, ['future', 'schema', 'malformed', 'malformed']);
    assert.match(await letters('schema').innerText(), /Breaks the schema/);
  });

  await t.test('a reason filters, and the address bar holds it', async () => {
    await page.click('[data-reason="malformed"][aria-pressed]');
    await listed('', 2);
    assert.match(page.url(), /reason=malformed/);
    await page.reload();
    await listed('', 2);
    await page.click('[data-reason="malformed"][aria-pressed="true"]');
    await listed('', 4);
  });

  await t.test('opened by the keyboard it shows the payload with the fault marked', async () => {
    await letters('schema').locator('> button').focus();
    await page.keyboard.press('Enter');
    await page.locator('mark').waitFor();
    assert.match(await page.innerText('mark'), /cpu_temp/);
    assert.match(page.url(), /letter=\d+/);
  });

  await t.test('what would be refused again stays, and says why', async () => {
    await page.click('[data-deed="replay"]');
    const notice = page.getByRole('alert').filter({ hasText: 'Not replayed' });
    await notice.waitFor();
    assert.match(await notice.innerText(), /cpu_temp/);
    assert.match(await notice.innerText(), /Request/);
    await listed('schema', 1);
    // The browser itself logs the refused request; that is what was asked for.
    consoleErrors.length = 0;
  });

  await t.test('what became valid is replayed at once', async () => {
    await letters('future').locator('> button').click();
    await letters('future').locator('[data-deed="replay"]').click();
    await result('Replayed');
    await listed('', 3);
    await listed('future', 0);
  });

  await t.test('one is discarded at once, and the keyboard goes on with the next', async () => {
    await letters('schema').locator('> button').click();
    await letters('schema').locator('[data-deed="discard"]').click();
    await result('discarded');
    await listed('schema', 0);
    const focused = await page.evaluate(() => document.activeElement?.parentElement?.dataset.letter);
    assert.ok(focused, 'a row has the focus');
  });

  await t.test('the kiosk shows its ledger, in red what is wrong, and leads back', async () => {
    await page.goto(`${baseURL}/kiosks/${serial}`);
    const refused = page.locator('[data-count="refused"]');
    await refused.waitFor();
    assert.match(await refused.innerText(), /4/);
    assert.match(await refused.getAttribute('class'), /wrong/);
    await refused.focus();
    await page.locator('[data-ledger] p').getByText('Could not be used').waitFor();
    await page.locator('[data-ledger] a', { hasText: 'Not valid JSON' }).click();
    await page.waitForURL(`**/dead-letters?serial=${serial}&reason=malformed`);
    await listed('malformed', 2);
  });

  await t.test('many are discarded after a question', async () => {
    await page.click('[data-many="discard"]');
    assert.match(await page.innerText('dialog'), new RegExp(`2 dead letters[^]*${serial}`));
    await page.keyboard.press('Escape');
    await listed('malformed', 2);
    await page.click('[data-many="discard"]');
    await page.click('dialog [data-confirm="discard"]');
    await result('2 discarded');
    await listed('', 0);
  });

  await t.test('an intake that is behind or refuses says so on every page', async () => {
    const answer = (change) => page.route('**/api/v1/ingest', async (route) => {
      const response = await route.fetch();
      const json = await response.json();
      change(json);
      await route.fulfill({ response, json });
    });
    await answer((intake) => {
      const consumer = intake.consumers.find(({ name }) => name === 'timeseries');
      Object.assign(consumer, { lag_seconds: 130, problem: 'InfluxDB does not answer', since: '2026-01-01T00:00:00Z' });
    });
    await page.goto(baseURL);
    await page.getByText('Time series: 2 min behind: InfluxDB does not answer. Nothing is lost.').first().waitFor();
    await page.unroute('**/api/v1/ingest');
    await answer((intake) => Object.assign(intake, { accepting: false, refusal: 'the journal is full: a consumer is behind' }));
    await page.locator('[data-intake="bad"]').getByText('the journal is full').waitFor();
    await page.unroute('**/api/v1/ingest');
    await page.locator('[data-intake]').waitFor({ state: 'detached' });
  });

  await t.test('nothing went wrong unseen', () => {
    assert.deepEqual(consoleErrors, []);
  });
});
