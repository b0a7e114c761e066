import { describe, expect, it } from 'vitest';
import { SseParser } from './sse';

const STREAM = ': hello\n\nevent: kiosk\nid: 1\ndata: {"a":1}\n\nevent: reading\r\ndata: x\r\ndata:y\r\n\r\ndata: last\n\n';
const EVENTS = [
  { name: 'kiosk', data: '{"a":1}' }, { name: 'reading', data: 'x\ny' }, { name: 'message', data: 'last' },
];

describe('SseParser', () => {
  it('reads events, skips comments and other fields', () => {
    expect(new SseParser().push(STREAM)).toEqual(EVENTS);
  });

  it('gives the same wherever the stream is cut', () => {
    for (let cut = 1; cut < STREAM.length; cut++) {
      const parser = new SseParser();
      expect([...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))], `cut at ${cut}`).toEqual(EVENTS);
    }
  });

  it('gives nothing for a name without data', () => {
    expect(new SseParser().push('event: ping\n\n')).toEqual([]);
  });
});
