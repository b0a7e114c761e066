import { describe, expect, it } from 'vitest';
import type { Intake, IntakeConsumer } from '$lib/api/types';
import { en } from '$lib/i18n/en';
import { at } from '$lib/testkit';
import { standing, troubles } from './intake';

const now = Date.parse(at(100));

function intake(consumers: Partial<IntakeConsumer>[], fields: Partial<Intake> = {}): Intake {
  return {
    accepting: true, journal: { bytes: 1, max_bytes: 10, fill: 0.1 }, dead_letters: 0,
    consumers: consumers.map((c) => ({ name: 'timeseries', behind_records: 0, lag_seconds: 0, ...c })), ...fields,
  };
}

const words = (i: Intake) => troubles(i, now, en).map((trouble) => `${trouble.tone}: ${trouble.text}`);

describe('troubles', () => {
  it('are none while all is well', () => {
    expect(words(intake([{ name: 'live', lag_seconds: 0.4 }, { behind_records: 90, lag_seconds: 9.9 }]))).toEqual([]);
  });

  it('are no single failed attempt', () => {
    expect(words(intake([{ problem: 'timeout', since: at(97) }]))).toEqual([]);
    expect(words(intake([{ problem: 'timeout', since: at(80) }]))).toEqual(['warn: Time series does not get on: timeout. Nothing is lost.']);
    expect(words(intake([{ problem: 'timeout' }]))).toHaveLength(1);
  });

  it('say how far behind, why, and what that means', () => {
    expect(words(intake([{ lag_seconds: 130, problem: 'InfluxDB does not answer', since: at(0) }]))).toEqual([
      'warn: Time series: 2 min behind: InfluxDB does not answer. Nothing is lost.',
    ]);
    expect(words(intake([{ name: 'live', lag_seconds: 30 }, { name: 'other', lag_seconds: 11 }]))).toEqual([
      'warn: Live: 30 s behind. These pages show what was so then; nothing is lost.',
      'warn: other: 11 s behind. Nothing is lost.',
    ]);
  });

  it('begin with a journal that refuses', () => {
    const refusing = intake([{ lag_seconds: 20 }], { accepting: false, refusal: 'no space left on device' });
    expect(words(refusing)[0]).toBe('bad: New readings are not accepted: no space left on device. Kiosks keep them and send them again.');
    expect(troubles(refusing, now, en).map((trouble) => trouble.key)).toEqual(['refusing', 'timeseries behind']);
    expect(words(intake([], { accepting: false, refusal: 'the disk is too full for the journal' }))[0]).toContain(': the disk is too full. Kiosks');
    expect(words(intake([], { accepting: false }))[0]).toContain('are not accepted. Kiosks');
  });
});

it('the calm line says how far each consumer is', () => {
  expect(intake([{ lag_seconds: 3 }, { lag_seconds: 75 }]).consumers.map((c) => standing(c, en))).toEqual(['up to date', '1 min behind']);
});
