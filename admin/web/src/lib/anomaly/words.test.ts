import { describe, expect, it } from 'vitest';
import type { AnomalySensor } from '$lib/api/types';
import { en } from '$lib/i18n/en';
import { es } from '$lib/i18n/es';
import { KINDS } from './view';
import { formatScore, headline, says, scoreTone, type Speech } from './words';

const speech = (english: boolean): Speech => ({
  t: english ? en : es, english, metric: (name) => name.split('.')[1] ?? name, value: (value) => `${value} °C`,
});
const sensor: AnomalySensor = {
  metric: 'hardware.cpu_temp', kind: 'relation', share: 1, value: 63, low: 48, high: 54, with: ['hardware.cpu_usage'], text: 'CPU temperature is 63 °C',
};

describe('what is said of a sensor', () => {
  it('are the server’s words where they are in the page’s language', () => {
    expect(says(sensor, speech(true))).toBe('CPU temperature is 63 °C');
  });

  it('are the page’s words in another language, with what is usual', () => {
    expect(says(sensor, speech(false))).toBe('cpu_temp: 63 °C, y no acompaña a cpu_usage; lo habitual es de 48 °C a 54 °C');
  });

  it('are the page’s words where the server has none', () => {
    const { low: _low, high: _high, ...plain } = sensor;
    expect(says({ ...plain, text: '', kind: 'stuck' }, speech(true))).toBe('cpu_temp does not move any more: 63 °C');
  });

  it('are there for every kind', () => {
    for (const kind of KINDS) for (const t of [en, es]) {
      expect(t.anomaly.says[kind], kind).toBeDefined();
      expect(t.anomaly.kinds[kind], kind).toBeDefined();
      expect(t.anomaly.kindHelp[kind], kind).toBeDefined();
    }
  });
});

it('an anomaly is called by its strongest sensor', () => {
  const anomaly = {
    id: 'a', serial: 'K', site: '', model: '', state: 'open' as const, opened_at: '', peak_at: '', score: 1, text: 'hot', sensors: [sensor], detector: '',
  };
  expect(headline(anomaly, speech(true))).toBe('hot');
  expect(headline(anomaly, speech(false))).toMatch(/^cpu_temp: 63/);
  expect(headline({ ...anomaly, text: '', sensors: [] }, speech(true))).toBe(en.anomaly.open);
});

describe('a score', () => {
  it.each([[0, '0.00'], [0.9899, '0.98'], [0.9947, '0.994'], [0.9999, '0.999'], [1, '1.00'], [0.29, '0.29']])('%d is written %s', (score, text) => {
    expect(formatScore(score, 'en')).toBe(text);
  });

  it('looks bad only where alerts begin', () => {
    expect([0, 0.5, 0.98, 0.99, 1].map(scoreTone)).toEqual(['ok', 'warn', 'warn', 'bad', 'bad']);
  });
});
