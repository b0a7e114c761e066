import { describe, expect, it } from 'vitest';
import { ApiError } from '$lib/api/client';
import { type Loaded, questionFor, samplesOf } from '$lib/charts/fetch';
import type { Sample } from '$lib/charts/series';
import type { Span, Step } from '$lib/charts/window';
import { MetricHistory, type Wanted } from './metric.svelte';

const sample = (time: number, mean: number): Sample => ({ time, mean, min: mean, max: mean, count: 1 });
const minute: Step = { text: '1m', ms: 60_000 };
const wanted = (fields: Partial<Wanted> = {}): Wanted => ({
  span: { from: 0, to: 600_000 }, step: undefined, widthPx: 400, intervalMs: 5_000, zone: 'UTC', ...fields,
});

/** A history whose questions are answered by hand. */
function asked() {
  const questions: { span: Span; step: Step | undefined; signal: AbortSignal; answer: (l: Sample[]) => void; fail: (e: Error) => void }[] = [];
  const history = new MetricHistory('K', 'a.b', (_serial, _metric, span, step, _zone, signal) =>
    new Promise<Loaded>((resolve, fail) => {
      questions.push({ span, step, signal, fail, answer: (samples) => resolve({ samples, step, source: 'raw' }) });
    }));
  return { history, questions };
}

describe('MetricHistory', () => {
  it('asks for a little more than is looked at', () => {
    const { history, questions } = asked();
    void history.load(wanted({ step: minute }));
    expect(questions[0]!.span).toEqual({ from: -120_000, to: 720_000 });
  });

  it('no longer waits for what is not wanted any more', async () => {
    const { history, questions } = asked();
    const first = history.load(wanted());
    const second = history.load(wanted({ step: minute }));
    expect(questions[0]!.signal.aborted).toBe(true);
    questions[1]!.answer([sample(60_000, 2)]);
    questions[0]!.answer([sample(1, 1)]);
    await Promise.all([first, second]);
    expect(history.loaded.samples).toEqual([sample(60_000, 2)]);
    expect(history.loading).toBe(false);
  });

  it('keeps the old line while another is on its way, and when that fails', async () => {
    const { history, questions } = asked();
    const first = history.load(wanted());
    questions[0]!.answer([sample(5_000, 1)]);
    await first;
    const second = history.load(wanted({ span: { from: 0, to: 1 } }));
    expect([history.loading, history.loaded.samples.length]).toEqual([true, 1]);
    questions[1]!.fail(new ApiError(503, 'opening'));
    await second;
    expect([history.loading, history.loaded.samples.length, history.error?.status]).toEqual([false, 1, 503]);
  });

  it('adds live readings once, also those that came while the answer was on its way', async () => {
    const { history, questions } = asked();
    const loading = history.load(wanted());
    history.take(10_000, 2, 0);
    history.take(15_000, 3, 0);
    questions[0]!.answer([sample(5_000, 1), sample(10_000, 2)]);
    await loading;
    history.take(15_000, 3, 0);
    history.take(20_000, 4, 0);
    expect(history.loaded.samples.map((s) => s.mean)).toEqual([1, 2, 3, 4]);
    history.take(25_000, 5, 18_000);
    expect(history.loaded.samples.map((s) => s.mean)).toEqual([3, 4, 5]);
  });

  it('puts live readings into windows', async () => {
    const { history, questions } = asked();
    const loading = history.load(wanted({ step: minute }));
    questions[0]!.answer([sample(60_000, 2)]);
    await loading;
    history.take(90_000, 4, 0);
    // Delivered once more: it weighs once.
    history.take(90_000, 4, 0);
    history.take(121_000, 7, 0);
    expect(history.loaded.samples).toEqual([{ time: 60_000, mean: 3, min: 2, max: 4, count: 2 }, sample(120_000, 7)]);
  });

  it('asks for windows where readings are denser than the interval of today says', async () => {
    const { history, questions } = asked();
    const loading = history.load(wanted({ span: { from: 0, to: 2_000_000 } }));
    questions[0]!.answer(Array.from({ length: 2_000 }, (_, i) => sample(i * 1_000, 1)));
    await Promise.resolve();
    await Promise.resolve();
    expect(questions[1]!.step?.text).toBe('10s');
    questions[1]!.answer([sample(0, 1)]);
    await loading;
    expect(history.loaded.step?.text).toBe('10s');
  });
});

describe('the question', () => {
  it('is one for a whole chart: readings, or four aggregates', () => {
    const span = { from: 0, to: 60_000 };
    expect(questionFor('K', 'a.b', span, undefined, 'UTC').series).toHaveLength(1);
    const windows = questionFor('K', 'a.b', span, minute, 'Europe/Madrid');
    expect(windows).toMatchObject({ from: '1970-01-01T00:00:00.000Z', step: '1m', tz: 'Europe/Madrid' });
    expect(windows.series?.map((s) => s.agg)).toEqual(['mean', 'min', 'max', 'count']);
  });

  it('has an answer whose series go together by time', () => {
    const series = (name: string, value: number) => ({
      name, group: 'K', group_by: 'kiosk', unit: '', source: 'rollup' as const, points: [{ time: '1970-01-01T00:01:00Z', value }],
    });
    const answer = { from: '', to: '', source: 'rollup' as const, series: [series('max', 9), series('count', 12), series('mean', 5), series('min', 1)] };
    expect(samplesOf(answer)).toEqual([{ time: 60_000, mean: 5, min: 1, max: 9, count: 12 }]);
    expect(samplesOf({ ...answer, series: [] })).toEqual([]);
  });
});
