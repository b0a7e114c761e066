import { describe, expect, it } from 'vitest';
import type { Metric, Reading } from '$lib/api/types';
import { at } from '$lib/testkit';
import { humanise, metricsOf, numberAt, rangeOf, splitName, textAt } from './metrics';

const reading: Reading = {
  timestamp: at(0), hardware: { cpu_temp: 51.2 }, custom: { door_open: true, firmware: 'a1' }, peripherals: { printer_status: 'ready' },
};
const cpu: Metric = { name: 'hardware.cpu_temp', unit: '°C', kind: 'gauge', description: '', min: 35, max: 75 };
const printer: Metric = { name: 'peripherals.printer_status', unit: '', kind: 'state', description: '' };
const humidity: Metric = { name: 'environmental.humidity', unit: '%', kind: 'gauge', description: '' };

describe('values of a reading', () => {
  it('are numbers, booleans as 0 and 1, and texts', () => {
    expect(numberAt(reading, 'hardware.cpu_temp')).toBe(51.2);
    expect(numberAt(reading, 'custom.door_open')).toBe(1);
    expect(numberAt(reading, 'custom.firmware')).toBeUndefined();
    expect(textAt(reading, 'custom.firmware')).toBe('a1');
    expect(numberAt(undefined, 'hardware.cpu_temp')).toBeUndefined();
  });
});

describe('metricsOf', () => {
  it('lists what the reading holds, the catalogue first, then sensors that nobody listed', () => {
    expect(metricsOf(reading, [humidity, cpu, printer]).map((m) => [m.name, m.kind])).toEqual([
      ['hardware.cpu_temp', 'gauge'], ['peripherals.printer_status', 'state'],
      ['custom.door_open', 'gauge'], ['custom.firmware', 'state'],
    ]);
  });
});

describe('rangeOf', () => {
  it.each([[34.9, 'low'], [35, 'normal'], [75, 'normal'], [75.1, 'high']])('%d is %s', (value, expected) => {
    expect(rangeOf(value, cpu)).toBe(expected);
  });

  it('knows no limits where the catalogue has none', () => {
    expect(rangeOf(1e9, humidity)).toBe('normal');
  });
});

describe('names', () => {
  it('split at the first dot, unknown shapes are custom', () => {
    expect(splitName('network.latency')).toEqual({ group: 'network', field: 'latency' });
    expect(splitName('odd')).toEqual({ group: 'custom', field: 'odd' });
  });

  it('become words', () => {
    expect(humanise('paper_level')).toBe('Paper level');
  });
});
