import { describe, expect, it } from 'vitest';
import type { Reading } from '$lib/api/types';
import { at, kiosk } from '$lib/testkit';
import { KioskBook } from './book';

const reading = (seconds: number): Reading => ({ timestamp: at(seconds), received_at: at(seconds + 1) });

function loaded(...kiosks: ReturnType<typeof kiosk>[]): KioskBook {
  const book = new KioskBook();
  book.beginLoad();
  book.takePage(kiosks);
  book.endLoad();
  return book;
}

describe('KioskBook', () => {
  it('keeps the higher revision, whichever comes first', () => {
    const book = loaded(kiosk('a', { revision: 5, verdict: 'degraded' }));
    book.take(kiosk('a', { revision: 4, verdict: 'can_serve' }));
    expect(book.get('a')?.verdict).toBe('degraded');
    book.take(kiosk('a', { revision: 6, verdict: 'cannot_serve' }));
    expect(book.get('a')?.verdict).toBe('cannot_serve');
  });

  it('does not let a list page undo an event that overtook it', () => {
    const book = new KioskBook();
    book.beginLoad();
    book.take(kiosk('a', { revision: 9, verdict: 'cannot_serve' }));
    book.takePage([kiosk('a', { revision: 8, verdict: 'can_serve' })]);
    book.endLoad();
    expect(book.get('a')?.verdict).toBe('cannot_serve');
  });

  it('believes the fresh list of a server that came back with an older memory', () => {
    const book = loaded(kiosk('a', { revision: 900, verdict: 'cannot_serve' }));
    book.beginLoad();
    book.takePage([kiosk('a', { revision: 2, verdict: 'can_serve' })]);
    expect(book.get('a')?.verdict).toBe('can_serve');
  });

  it('drops what a new load does not mention, but keeps what an event brought meanwhile', () => {
    const book = loaded(kiosk('gone'), kiosk('stays'));
    book.beginLoad();
    book.takePage([kiosk('stays')]);
    book.take(kiosk('new'));
    book.endLoad();
    expect(book.all().map((k) => k.serial).sort()).toEqual(['new', 'stays']);
  });

  it('does not let a page bring a removed kiosk back, but a new registration does', () => {
    const book = loaded(kiosk('a'));
    book.beginLoad();
    book.remove('a');
    book.takePage([kiosk('a')]);
    expect(book.get('a')).toBeUndefined();
    book.take(kiosk('a', { revision: 1 }));
    expect(book.get('a')).toBeDefined();
  });

  it('keeps the newest reading by the kiosk’s own clock', () => {
    const book = loaded(kiosk('a', { last_reading: reading(10) }));
    book.takeReading('a', reading(5));
    expect(book.get('a')?.last_reading?.timestamp).toBe(at(10));
    book.takeReading('a', reading(20));
    expect(book.get('a')?.last_reading?.timestamp).toBe(at(20));
    expect(book.get('a')?.last_seen).toBe(at(21));
  });

  it('keeps a newer reading when a newer kiosk carries an older one', () => {
    const book = loaded(kiosk('a', { revision: 1, last_reading: reading(10) }));
    book.takeReading('a', reading(20));
    book.take(kiosk('a', { revision: 2, status: 'blocked', last_reading: reading(10) }));
    expect(book.get('a')).toMatchObject({ status: 'blocked', last_reading: { timestamp: at(20) } });
  });

  it('ignores a reading of a kiosk it does not know yet', () => {
    const book = loaded();
    book.takeReading('x', reading(1));
    expect(book.size).toBe(0);
  });
});
