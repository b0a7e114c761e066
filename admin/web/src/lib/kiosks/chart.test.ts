import { describe, expect, it } from 'vitest';
import type { Metric } from '$lib/api/types';
import { at } from '$lib/testkit';
import { chosenMetrics, MAX_CHARTS, offers, parseChoice, parseMetrics, tapped, toggled } from './chart';

const cpu = 'hardware.cpu_temp';
const paper = 'custom.paper_level';
const params = (query: string) => new URLSearchParams(query);

describe('the metrics of an address', () => {
  it.each([
    [null, []], ['', []], [cpu, [cpu]], [`${cpu},${paper}`, [cpu, paper]], [`${cpu}, ${cpu}`, [cpu]],
    ['nonsense,a.b,"><script>,a.b.c', ['a.b']],
    ['a.a,a.b,a.c,a.d,a.e,a.f,a.g', ['a.a', 'a.b', 'a.c', 'a.d', 'a.e', 'a.f']],
  ])('%j', (text, expected) => {
    expect(parseMetrics(text)).toEqual(expected);
  });
});

describe('what is shown', () => {
  const last = { metrics: [paper, 'custom.soda'], kioskZone: false };

  it('is what the address says, even if this kiosk does not send it', () => {
    expect(chosenMetrics(params('metric=custom.soda'), last, [cpu])).toEqual(['custom.soda']);
  });

  it('is the last choice as far as this kiosk has it', () => {
    expect(chosenMetrics(params(''), last, [cpu, paper])).toEqual([paper]);
    expect(chosenMetrics(params(''), last, [cpu])).toEqual([cpu]);
    expect(chosenMetrics(params('metric=%20'), undefined, [])).toEqual([cpu]);
  });
});

describe('a kept choice', () => {
  it.each([
    [null, undefined], ['{', undefined], ['null', undefined], ['7', { metrics: [], kioskZone: false }],
    ['{"metrics":"x","kioskZone":1}', { metrics: [], kioskZone: false }],
    [`{"metrics":["${cpu}",7,"a b"],"kioskZone":true}`, { metrics: [cpu], kioskZone: true }],
  ])('%j', (text, expected) => {
    expect(parseChoice(text)).toEqual(expected);
  });
});

describe('choosing', () => {
  it('adds and takes away, but never the last one', () => {
    expect(toggled([cpu], paper)).toEqual([cpu, paper]);
    expect(toggled([cpu, paper], cpu)).toEqual([paper]);
    expect(toggled([cpu], cpu)).toEqual([cpu]);
  });

  it('gives up the first of too many', () => {
    const full = Array.from({ length: MAX_CHARTS }, (_, i) => `a.m${i}`);
    expect(toggled(full, cpu)).toEqual([...full.slice(1), cpu]);
  });

  it('by a tile changes one chart, and adds to several', () => {
    expect(tapped([cpu], paper)).toEqual([paper]);
    expect(tapped([cpu, paper], 'a.b')).toEqual([cpu, paper, 'a.b']);
  });
});

describe('offers', () => {
  const known = (name: string, kind: Metric['kind'] = 'gauge'): Metric => ({ name, unit: 'u', kind, description: '' });

  it('are the numbers of the reading with unknown sensors, then what only history may hold', () => {
    const reading = { timestamp: at(0), hardware: { cpu_temp: 50, fan: true }, custom: { soda: 3, name: 'x' }, peripherals: { printer_status: 'ready' } };
    const catalogue = [known(cpu), known('hardware.ram_usage'), known('peripherals.printer_status', 'state')];
    const names = offers(reading, catalogue, ['network.gone']).map(({ group, offers: some }) => [group, some.map((o) => `${o.metric.name}${o.current ? '' : ' past'}`)]);
    expect(names).toEqual([
      ['hardware', [cpu, 'hardware.fan', 'hardware.ram_usage past']], ['network', ['network.gone past']], ['custom', ['custom.soda']],
    ]);
    expect(offers(reading, catalogue, [])[0]!.offers[0]!.metric.unit).toBe('u');
  });
});
