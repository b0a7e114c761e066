import { describe, expect, it } from 'vitest';
import type { Anomaly, AnomalySensor } from '$lib/api/types';
import { at } from '$lib/testkit';
import { alertOf, anomalyQuery, type AnomalyView, inOrder, matches, newer, parseView, viewParams } from './view';

const ALL: AnomalyView = { state: 'all', serial: undefined, site: undefined, metric: undefined, kind: undefined, within: undefined };

const sensor = (fields: Partial<AnomalySensor> = {}): AnomalySensor => ({ metric: 'hardware.cpu_temp', kind: 'relation', share: 1, text: '', ...fields });

function anomaly(id: string, fields: Partial<Anomaly> = {}): Anomaly {
  return {
    id, serial: 'K', site: 'Hall', model: '', state: 'open', opened_at: at(0), peak_at: at(0), score: 0.9, text: '', sensors: [sensor()], detector: '', ...fields,
  };
}

describe('the view', () => {
  it.each(['', 'state=open', 'state=closed&serial=K-1&site=Hall&metric=hardware.cpu_temp&kind=stuck&within=7d'])('is the address %j again', (text) => {
    const view = parseView(new URLSearchParams(text));
    const params = Object.entries(viewParams(view)).filter((entry): entry is [string, string] => entry[1] !== undefined);
    expect(Object.fromEntries(params)).toEqual(Object.fromEntries(new URLSearchParams(text)));
  });

  it('leaves out what makes no sense', () => {
    expect(parseView(new URLSearchParams('state=shut&kind=odd&within=9y&serial='))).toEqual(ALL);
  });

  it('changes only the part that it is asked to', () => {
    expect(viewParams({ kind: undefined })).toEqual({ kind: undefined });
    expect(viewParams({ state: 'all' })).toEqual({ state: undefined });
  });

  it('asks the server for as much', () => {
    expect(anomalyQuery({ ...ALL, site: 'Hall', within: '7d' }, true)).toEqual({
      serial: undefined, site: 'Hall', metric: undefined, kind: undefined, open: true, from: '-7d',
    });
    expect(anomalyQuery(ALL, false).from).toBeUndefined();
  });

  const now = Date.parse(at(0)) + 2 * 86_400_000;
  it.each<[string, Partial<AnomalyView>, boolean]>([
    ['everything', {}, true],
    ['those that go on', { state: 'open' }, true],
    ['those that are over', { state: 'closed' }, false],
    ['its kiosk', { serial: 'K' }, true],
    ['another kiosk', { serial: 'L' }, false],
    ['another site', { site: 'Lobby' }, false],
    ['a sensor of it', { metric: 'hardware.cpu_temp' }, true],
    ['another sensor', { metric: 'hardware.cpu_usage' }, false],
    ['its kind', { kind: 'relation' }, true],
    ['another kind', { kind: 'stuck' }, false],
    ['the last week', { within: '7d' }, true],
    ['the last day', { within: '24h' }, false],
  ])('shows of %s', (_name, view, shown) => {
    expect(matches(anomaly('a'), { ...ALL, ...view }, now)).toBe(shown);
  });
});

it('puts those that go on first, then the newest', () => {
  const list = [
    anomaly('old', { state: 'closed', opened_at: at(1) }), anomaly('new', { state: 'closed', opened_at: at(9) }),
    anomaly('open', { opened_at: at(2) }), anomaly('opener', { opened_at: at(3) }), anomaly('b', { state: 'closed', opened_at: at(9) }),
  ];
  expect(list.sort(inOrder).map(({ id }) => id)).toEqual(['opener', 'open', 'b', 'new', 'old']);
});

describe('of two versions', () => {
  const band = [{ hour: 1, low: 1, high: 2 }];
  const closed = anomaly('a', { state: 'closed', closed_at: at(9), score: 0.95 });
  const feedback = (verdict: 'useful' | 'noise', seconds: number) => ({ verdict, comment: '', by: 'ann', at: at(seconds) });

  it('the one that is over is newer, however they come', () => {
    expect(newer(anomaly('a'), closed).state).toBe('closed');
    expect(newer(closed, anomaly('a')).state).toBe('closed');
  });

  it('the higher score is newer', () => {
    expect(newer(anomaly('a', { score: 0.97 }), anomaly('a', { score: 0.9 })).score).toBe(0.97);
    expect(newer(anomaly('a', { score: 0.9 }), anomaly('a', { score: 0.97 })).score).toBe(0.97);
  });

  it('the later word stands, whichever episode is newer', () => {
    const useful = anomaly('a', { feedback: feedback('useful', 20) });
    const noise = anomaly('a', { feedback: feedback('noise', 10) });
    expect(newer(useful, noise).feedback?.verdict).toBe('useful');
    expect(newer(noise, useful).feedback?.verdict).toBe('useful');
    expect(newer(useful, closed)).toMatchObject({ state: 'closed', feedback: { verdict: 'useful' } });
    expect(newer(closed, useful)).toMatchObject({ state: 'closed', feedback: { verdict: 'useful' } });
  });

  it('what was expected stays, for events do not bring it', () => {
    const full = anomaly('a', { sensors: [sensor({ band })] });
    const event = anomaly('a', { score: 0.97, sensors: [sensor({ share: 0.6 }), sensor({ metric: 'x.y', share: 0.4 })] });
    expect(newer(full, event).sensors).toEqual([sensor({ share: 0.6, band }), sensor({ metric: 'x.y', share: 0.4 })]);
    expect(newer(event, full).sensors[0]?.band).toEqual(band);
  });

  it('the first is the only one', () => {
    expect(newer(undefined, closed)).toBe(closed);
  });
});

describe('the alert of an anomaly', () => {
  const alert = (opened: number, resolved?: number) => ({ opened_at: at(opened), ...(resolved === undefined ? {} : { resolved_at: at(resolved) }) });
  const now = Date.parse(at(10_000));

  it('stood while it went on', () => {
    const [before, during, after] = [alert(-500, -100), alert(60), alert(9_000)];
    expect(alertOf([before, during, after], anomaly('a', { state: 'closed', closed_at: at(600) }), now)).toBe(during);
    expect(alertOf([before], anomaly('a'), now)).toBeUndefined();
    expect(alertOf([after], anomaly('a', { state: 'closed', closed_at: at(600) }), now)).toBeUndefined();
  });

  it('is of several the nearest', () => {
    const [near, far] = [alert(30, 300), alert(4_000)];
    expect(alertOf([far, near], anomaly('a'), now)).toBe(near);
  });
});
