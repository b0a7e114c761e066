// What the browser tests begin with: a page of which nothing goes wrong unseen.
import { after } from 'node:test';
import { launch } from './browser.mjs';

/**
 * Opens a page that is closed when the tests of the file are over.
 *
 * The options are those of a browser context. consoleErrors grows with all that the page complains of; who asks
 * for something that the browser itself complains of empties it.
 */
export async function watched(options = {}) {
  const browser = await launch();
  after(() => browser.close());
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 }, locale: 'en-GB', ...options });
  const consoleErrors = [];
  page.on('console', (message) => {
    if (message.type() === 'error') consoleErrors.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => consoleErrors.push(String(error)));
  return { page, consoleErrors };
}
