import { describe, expect, it } from 'vitest';
import { at, kiosk } from '$lib/testkit';
import { previewText } from './template';

const hot = kiosk('SIM-1', {
  presence: 'stale', site: 'Hall 1',
  last_reading: { timestamp: at(0), hardware: { cpu_temp: 82.26 }, peripherals: { printer_status: 'paper_jam' } },
});
const unit = (metric: string) => (metric === 'hardware.cpu_temp' ? '°C' : '');

describe('previewText', () => {
  it.each([
    ['CPU at {hardware.cpu_temp}', 'CPU at 82.3 °C'],
    ['CPU at {hardware.cpu_temp | 0}', 'CPU at 82 °C'],
    ['Printer: {peripherals.printer_status}', 'Printer: paper_jam'],
    ['{kiosk.serial} in {kiosk.site} is {presence}', 'SIM-1 in Hall 1 is stale'],
    ['{{literally}} {rate(hardware.disk_usage, "1h") | 2}', '{literally} ‹rate(hardware.disk_usage, "1h")›'],
    ['no end {hardware', 'no end {hardware'],
    ['', ''],
  ])('%s', (text, want) => {
    expect(previewText(text, hot, unit)).toBe(want);
  });

  it('keeps the names without a kiosk', () => {
    expect(previewText('CPU at {hardware.cpu_temp}', undefined, unit)).toBe('CPU at ‹hardware.cpu_temp›');
  });
});
