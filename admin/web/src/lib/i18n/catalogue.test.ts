import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { en } from './en';
import { es } from './es';

type Tree = { [key: string]: string | Tree | ((...args: never[]) => string) };

/** Every text of a catalogue by its path; functions by how many parts they take. */
function leaves(tree: Tree, path = ''): Map<string, string | number> {
  const result = new Map<string, string | number>();
  for (const [key, value] of Object.entries(tree)) {
    const here = path ? `${path}.${key}` : key;
    if (typeof value === 'string') result.set(here, value);
    else if (typeof value === 'function') result.set(here, value.length);
    else for (const [deep, leaf] of leaves(value, here)) result.set(deep, leaf);
  }
  return result;
}

const english = leaves(en as Tree);
const spanish = leaves(es as unknown as Tree);

describe('catalogues', () => {
  it('have the same keys', () => {
    expect([...spanish.keys()].sort()).toEqual([...english.keys()].sort());
  });

  it('have no empty text, and functions of the same parts', () => {
    for (const [key, value] of english) {
      const other = spanish.get(key);
      expect(typeof other, key).toBe(typeof value);
      if (typeof value === 'number') expect(other, key).toBe(value);
      else {
        expect(value.trim(), key).not.toBe('');
        expect(String(other).trim(), key).not.toBe('');
      }
    }
  });

  it('translate every reason that the contract lists', () => {
    const contract = readFileSync(new URL('../../../../api/openapi.yaml', import.meta.url), 'utf8');
    const paragraph = /One cause of a verdict\. Codes: ([^;]+);/.exec(contract)?.[1] ?? '';
    const codes = [...paragraph.matchAll(/`(\w+)`/g)].map((match) => match[1]!);
    expect(codes.length).toBeGreaterThan(10);
    for (const code of codes) {
      expect(en.reason[code], code).toBeDefined();
      expect(es.reason[code], code).toBeDefined();
    }
  });

  it('translate and explain every reason of a dead letter that the contract lists', () => {
    const contract = readFileSync(new URL('../../../../api/openapi.yaml', import.meta.url), 'utf8');
    const paragraph = /Why something could not be used\. Words: ([^;]+);/.exec(contract)?.[1] ?? '';
    const words = [...paragraph.matchAll(/`(\w+)`/g)].map((match) => match[1]!);
    expect(words.length).toBeGreaterThan(7);
    for (const word of words) {
      for (const catalogue of [en, es]) {
        expect(catalogue.letters.reason[word], word).toBeDefined();
        expect(catalogue.letters.reasonHelp[word], word).toBeDefined();
      }
    }
  });

  it('know the page’s own words for every enumeration that they translate by value', () => {
    const contract = readFileSync(new URL('../../../../api/openapi.yaml', import.meta.url), 'utf8');
    const values = (name: string) =>
      (new RegExp(`${name}:[^\\[]*enum: \\[([^\\]]+)\\]`).exec(contract)?.[1] ?? '').split(',').map((word) => word.trim());
    for (const reason of values('PresenceReason')) expect(en.presenceReason[reason], reason).toBeDefined();
    for (const status of values('CommandStatus')) expect(en.command.status[status], status).toBeDefined();
  });
});
