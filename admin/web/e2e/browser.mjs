// What the browser test and the screenshots share: the system's Chromium and the way in.
import { chromium } from 'playwright-core';

export const baseURL = process.env.KIOSKFLEET_URL ?? 'http://127.0.0.1:8080';
export const username = process.env.KIOSKFLEET_USERNAME ?? 'admin';
export const password = process.env.KIOSKFLEET_PASSWORD;

export function launch() {
  if (!password) throw new Error('KIOSKFLEET_PASSWORD is not set; the first start writes it to data/initial-admin-password');
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync',
    ],
  });
}

/** Logs in through the form, as a person would. */
export async function login(page) {
  await page.fill('input[name=username]', username);
  await page.fill('input[name=password]', password);
  await page.click('button[type=submit]');
}
