import { describe, expect, it } from 'vitest';
import type { Model, ModelFigures } from '$lib/api/types';
import { at } from '$lib/testkit';
import { byKind, canRollBack, compare, modelOrder, promotable, tuningWord } from './models';

const figures = (fields: Partial<ModelFigures> = {}): ModelFigures => ({
  series: 4, days: 8, faults: 10, recall: 0.7, precision: 0.8, false_per_day: 0.1, delay_points: 6, by_kind: {}, ...fields,
});

describe('a model beside the one before', () => {
  it('is better with more found, and with fewer false alarms', () => {
    const rows = compare({ figures: figures(), against: figures({ recall: 0.6, precision: 0.9, false_per_day: 0.2, delay_points: 6 }) });
    expect(rows.map(({ figure, better }) => [figure, better])).toEqual([
      ['recall', true], ['precision', false], ['false_per_day', true], ['delay_points', undefined],
    ]);
  });

  it('is neither where a figure is missing', () => {
    const { recall: _, ...unmeasured } = figures();
    expect(compare({ figures: figures(), against: unmeasured })[0]).toEqual({ figure: 'recall', now: 0.7, before: undefined, better: undefined });
    expect(compare({}).every(({ now, better }) => now === undefined && better === undefined)).toBe(true);
  });

  it('is compared kind by kind', () => {
    const now = figures({ by_kind: { stuck: { faults: 2, recall: 1 }, drift: { faults: 3 } } });
    expect(byKind(now, figures({ by_kind: { stuck: { faults: 2, recall: 0.5 } } }))).toEqual([
      { kind: 'drift', faults: 3, now: undefined, before: undefined }, { kind: 'stuck', faults: 2, now: 1, before: 0.5 },
    ]);
    expect(byKind(undefined, undefined)).toEqual([]);
  });
});

const model = (version: string, state: Model['state'], seconds?: number): Model => ({
  version, state, ...(seconds === undefined ? {} : { created_at: at(seconds) }), origin: 'manual', sha256: '', bytes: 0, kiosks: 0, readings: 0, checks: [], reason: '',
});

it('the one at work comes first, then the newest', () => {
  const models = [model('built-in', 'retired'), model('m1', 'current', 1), model('m3', 'refused', 3), model('m2', 'retired', 2)];
  expect(models.sort(modelOrder).map(({ version }) => version)).toEqual(['m1', 'm3', 'm2', 'built-in']);
});

it('goes to work only what the server puts there', () => {
  const states = ['candidate', 'current', 'retired', 'refused', 'rolled_back'] as const;
  expect(states.filter((state) => promotable(model('m', state, 0)))).toEqual(['candidate', 'retired', 'rolled_back']);
  const forced = { ...model('m', 'rolled_back', 0), checks: [{ name: 'stuck sensors', passed: false, text: '' }] };
  expect(promotable(forced)).toBe(false);
});

it('goes back only where there is something to go back to', () => {
  const builtIn = (state: Model['state']): Model => ({ ...model('built-in', state), origin: 'built_in' });
  expect(canRollBack([builtIn('current')])).toBe(false);
  expect(canRollBack([builtIn('current'), model('m1', 'candidate', 1), model('m2', 'refused', 2), model('m3', 'rolled_back', 3)])).toBe(false);
  expect(canRollBack([model('m1', 'current', 1), builtIn('candidate')])).toBe(true);
  expect(canRollBack([builtIn('current'), model('m1', 'retired', 1)])).toBe(true);
});

it('a factor says whether a sensor is quieter', () => {
  expect([1 / 16, 1, 1.25].map(tuningWord)).toEqual(['quieter', 'usual', 'readier']);
});
