import { describe, expect, it } from 'vitest';
import type { AlertRule } from '$lib/api/types';
import { around, copyOf, draftOf, faultsOf, insertWord, newDraft, parseFault, parseLabels, requestOf } from './draft';

const rule: AlertRule = {
  name: 'cpu_temp_high', summary: 'CPU is too hot', severity: 'warning', condition: 'hardware.cpu_temp > 80', clear: 'hardware.cpu_temp < 75',
  for: '5m', clear_for: '2m', no_data: '1h', text: 'CPU at {hardware.cpu_temp}', labels: { team: 'field', eq: 'a=b' }, scope: { sites: ['Hall *'] },
  schedule: { days: ['mon', 'fri'], from: '08:00', to: '20:00' }, security: true, disabled: false, origin: 'shipped', version: 3,
};

describe('a draft', () => {
  it('comes back as the rule that it was made of', () => {
    const { origin: _origin, ...rest } = rule;
    expect(requestOf(draftOf(rule), 3)).toEqual(rest);
  });

  it('leaves out what is empty', () => {
    expect(requestOf({ ...newDraft(), name: ' x ', summary: 's', condition: 'verdict == "degraded"', for: ' ' })).toEqual({
      name: 'x', summary: 's', severity: 'warning', condition: 'verdict == "degraded"', labels: {}, scope: {}, security: false, disabled: false,
    });
  });

  it('is on and named otherwise as a copy', () => {
    expect(copyOf({ ...rule, disabled: true })).toMatchObject({ name: 'my_cpu_temp_high', disabled: false });
  });

  it('keeps days in the order of the week', () => {
    expect(requestOf({ ...newDraft(), days: ['fri', 'mon'] }).schedule).toEqual({ days: ['mon', 'fri'] });
  });
});

it('reads labels', () => {
  expect(parseLabels('team = field\n\nquery=a=b\nalone')).toEqual({ team: 'field', query: 'a=b', alone: '' });
});

it('finds the faults of a field and of what is inside it', () => {
  const violations = [{ field: 'scope.serials', reason: 'a' }, { field: 'condition', reason: 'b' }, { field: 'scoped', reason: 'c' }];
  expect(faultsOf(violations, 'scope')).toEqual(['a']);
  expect(faultsOf(violations, 'condition')).toEqual(['b']);
});

describe('a fault of an expression', () => {
  it.each([
    ['line 1, column 3: nothing is called x', { line: 1, column: 3, what: 'nothing is called x' }],
    ['placeholder at column 8: line 2, column 1: no\nend', { line: 2, column: 1, what: 'no\nend' }],
    ['line 2, column 3: nothing is called verdcit: did you mean verdict? (here: ⟨⟩verdcit == 1)', { line: 2, column: 3, what: 'nothing is called verdcit: did you mean verdict?' }],
    ['is empty', undefined],
  ])('%s', (reason, want) => {
    expect(parseFault(reason)).toEqual(want);
  });

  it('is shown where it is', () => {
    expect(around('a and\nverdcit == 1', { line: 2, column: 9, what: '' })).toEqual({ before: 'verdcit ', at: '=', after: '= 1' });
    expect(around('a and\nverdcit == 1', { line: 2, column: 1, what: '' })).toEqual({ before: '', at: 'verdcit', after: ' == 1' });
    expect(around('"🙂" x', { line: 1, column: 5, what: '' })).toEqual({ before: '"🙂" ', at: 'x', after: '' });
    expect(around('a', { line: 7, column: 9, what: '' })).toEqual({ before: '', at: '', after: '' });
  });
});

describe('insertWord', () => {
  it.each([
    ['', 0, 0, 'verdict', 7], ['a and ', 6, 6, 'a and verdict', 13], ['a and', 5, 5, 'a and verdict', 13],
    ['not ()', 5, 5, 'not (verdict)', 12], ['old > 1', 0, 3, 'verdict > 1', 7], ['x', 0, 0, 'verdict x', 8],
  ])('%j from %d to %d', (text, from, to, want, caret) => {
    expect(insertWord(text, from, to, 'verdict')).toEqual({ text: want, caret });
  });
});
