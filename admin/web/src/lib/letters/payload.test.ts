import { describe, expect, it } from 'vitest';
import { layOut, scanJson } from './json';
import { showBytes, showPayload } from './payload';

describe('scanJson', () => {
  it.each([
    '{}', '[]', ' {"a" : [1, -2.5e+3, true, null, "\\u00e9\\n"] } ', '0', '"x"', '[{"a":{}}]', '{"a":{"b":{"c":1}}}',
  ])('takes %s', (text) => {
    expect(scanJson(text).error).toBeUndefined();
    expect(() => JSON.parse(text)).not.toThrow();
  });

  it.each([
    ['', 0], ['{', 1], ['{"a"}', 4], ['{"a":}', 5], ['{"a":1,}', 7], ['[1,]', 3], ['{"a":01}', 6], ['{"a":NaN}', 5], ['{a:1}', 1],
    ['{"a":1} x', 8], ['{"a":"b', 7], ['{"a":"\t"}', 6], ['{"a":"\\q"}', 6], ['nul', 0], ["{'a':1}", 1], ['[1 2]', 3],
  ])('stops in %j at %d', (text, at) => {
    expect(scanJson(text).error).toBe(at);
    expect(() => JSON.parse(text)).toThrow();
  });

  it('finds members of the outer object and of its groups', () => {
    const text = '{"serial":"K","hardware":{"cpu_temp":[1],"deep":{"x":1}}}';
    const { members } = scanJson(text);
    const of = (path: string) => text.slice(members.get(path)!.from, members.get(path)!.to);
    expect([...members.keys()].sort()).toEqual(['hardware', 'hardware.cpu_temp', 'hardware.deep', 'serial']);
    expect(of('hardware.cpu_temp')).toBe('"cpu_temp":[1]');
    expect(of('serial')).toBe('"serial":"K"');
  });

  it('does not break on what is nested without end', () => {
    expect(scanJson('['.repeat(16_384)).error).toBeGreaterThan(90);
    expect(scanJson('{"a":'.repeat(3_000)).error).toBeGreaterThan(90);
  });
});

describe('layOut', () => {
  it('breaks lines as JSON.stringify does', () => {
    const value = { a: 1, b: { c: [1, { d: 'x,{}:[]"\\' }], e: {}, f: [] }, g: null };
    expect(layOut(JSON.stringify(value)).text).toBe(JSON.stringify(value, null, 2));
  });

  it('keeps what JSON.parse would change', () => {
    expect(layOut('{"a":1.0,"a":12345678901234567890}').text).toBe('{\n  "a": 1.0,\n  "a": 12345678901234567890\n}');
  });

  it('shows what is broken as far as it goes, and where each character came from', () => {
    const { text, source } = layOut('{"a":[1,"b');
    expect(text).toBe('{\n  "a": [\n    1,\n    "b');
    expect(source.length).toBe(text.length);
    expect(text[source.indexOf(7)]).toBe(',');
    expect(layOut('}}').text).toBe('}}');
  });
});

describe('showPayload', () => {
  const show = (payload: string, detail = '', rest = {}) => {
    const shown = showPayload({ payload, payload_encoding: 'text', detail, reason: 'schema', truncated: false, ...rest });
    return { ...shown, marked: shown.fault && shown.text.slice(shown.fault.from, shown.fault.to) };
  };

  it.each([
    ['hardware.cpu_temp: must be a number, boolean, text or null, not an object', {}, '"cpu_temp": {}', 'hardware.cpu_temp'],
    ['serial comes twice', { reason: 'duplicate_key' }, '"serial": "X"', 'serial'],
    ['hardware: cpu_temp is neither number, boolean nor text', {}, '"cpu_temp": {}', 'hardware.cpu_temp'],
    ['hardware: "bad-name" is not a field name', {}, '"bad-name": 1', 'hardware.bad-name'],
    ['hardware: is not an object of fields', {}, undefined, 'hardware'],
    ['timestamp 2027-01-01T00:00:00Z is more than 5m0s ahead', { reason: 'future' }, '"timestamp": "2027"', 'timestamp'],
    ['payload says "X", the topic "K"', { reason: 'wrong_serial' }, '"serial": "X"', 'serial'],
    ['another reading has this time', { reason: 'conflict' }, '"timestamp": "2027"', 'timestamp'],
  ])('marks the field that %j names', (detail, rest, marked, field) => {
    const shown = show('{"timestamp":"2027","serial":"X","hardware":{"cpu_temp":{},"bad-name":1}}', detail, rest);
    expect(shown.where).toEqual({ field });
    if (marked) expect(shown.marked).toBe(marked);
  });

  it('marks the character at which JSON ends', () => {
    const shown = show('{"a":1,"b":oops}', 'invalid character', { reason: 'malformed' });
    expect(shown.where).toEqual({ character: 12 });
    expect(shown.marked).toBe('o');
    expect(show('hello', 'invalid character', { reason: 'malformed' })).toMatchObject({ text: 'hello', marked: 'h' });
  });

  it('marks nothing where nothing is named', () => {
    expect(show('{"a":1}', 'timestamp is missing').fault).toBeUndefined();
    expect(show('{"a":1}', '').fault).toBeUndefined();
    expect(show('', '').text).toBe('');
  });

  it('does not take a cut for the fault', () => {
    expect(show('{"a":"xxxx', '300000 bytes', { reason: 'too_large', truncated: true }).fault).toBeUndefined();
  });

  it('takes a place that the explanation names', () => {
    expect(show('{"a":1}', 'bad value at byte 5').marked).toBe('1');
  });

  it('shows bytes that are no text', () => {
    expect(showBytes(btoa('a\xff\n\\b'))).toBe('a\\xff\n\\x5cb');
  });
});
