import { describe, expect, it } from 'vitest';
import type { Alert, Incident } from '$lib/api/types';
import { complete, matchersFor, parseScope, scopeLine, scopeTexts, splitList } from './matchers';

const alert = (fields: Partial<Alert>) => ({ kind: 'alerts' as const, item: { rule: 'offline', serial: 'K-1', site: 'Hall 1', ...fields } as Alert });
const incident = (fields: Partial<Incident>) => ({ kind: 'incidents' as const, item: { rule: 'offline', site: 'Hall 1', ...fields } as Incident });
const texts = (matchers: { name: string; op: string; value: string }[]) => matchers.map(({ name, op, value }) => name + op + value);

describe('matchersFor', () => {
  it.each([
    ['an alert', alert({}), ['rule=offline', 'serial=K-1']],
    ['one of the platform', alert({ serial: '' }), ['rule=offline']],
    ['an incident of a site', incident({}), ['rule=offline', 'site=Hall 1']],
    ['an incident of several sites', incident({ site: '' }), ['rule=offline']],
  ])('of %s', (_name, entry, want) => {
    expect(texts(matchersFor(entry))).toEqual(want);
  });
});

it('leaves out what says nothing', () => {
  expect(texts(complete([{ name: ' rule ', op: '=', value: ' x ' }, { name: 'site', op: '=', value: ' ' }, { name: '', op: '=', value: 'y' }]))).toEqual(['rule=x']);
});

describe('a scope', () => {
  it('comes back from what is typed', () => {
    const scope = { serials: ['SIM-*', 'K-1'], tags: ['drive-in'] };
    expect(parseScope(scopeTexts(scope))).toEqual(scope);
    expect(scopeLine(scope)).toBe('SIM-*, K-1, drive-in');
  });

  it('is for all when nothing is typed', () => {
    expect(parseScope({ serials: ' , ', sites: '', tags: '', models: '' })).toEqual({});
    expect(splitList(' a,,b ,')).toEqual(['a', 'b']);
  });
});
