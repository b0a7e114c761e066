import type { Stretch } from '$lib/anomaly/band';
import type { Metric } from '$lib/api/types';
import { formatLimit } from '$lib/format/number';
import uPlot from 'uplot';
import { cssColour } from './colours';
import { valueRange } from './series';
import { tickLabel, ticks } from './ticks';

export interface PlotOptions {
  width: number;
  height: number;
  metric: Metric;
  locale: string;
  /** Whose clocks the axis of time shows. */
  zone: string;
  /** Only the lowest of several charts says the time. */
  timeLabels: boolean;
  /** The texts beside the dashed lines of normal operation. */
  limitTexts: { min: string; max: string };
  /** Stretches of time to tint, such as when the kiosk could not serve; asked for at each drawing. */
  shades: () => Shade[];
  /** What is expected of the metric, shaded behind its line; asked for at each drawing. */
  expected: () => Stretch[];
  /** The axis of values from here to there, whatever the data. */
  range: [number, number] | undefined;
  onzoom: (from: number, to: number) => void;
  onreset: () => void;
  /** The moment under the pointer in Unix milliseconds; undefined when it has left. */
  onpoint: (time: number | undefined) => void;
}

/** A stretch of time in Unix milliseconds and the token of its colour. */
export interface Shade {
  from: number;
  to: number;
  token: string;
}

const FONT_PX = 11;
/** How far from a point the pointer still means it. */
export const REACH_PX = 20;
/** The width of the axis of values: the same for all charts, so that they share the axis of time. */
export const GUTTER_PX = 62;
export const RIGHT_PX = 10;
const TIME_AXIS_PX = 30;
/** Room that a mark on the axis of time needs. */
const TICK_PX = 74;
const HALF_LABEL_PX = 22;

/** The options of the large chart: a band from min to max, the mean as a line, limits dashed. */
export function plotOptions(o: PlotOptions): uPlot.Options {
  const font = `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`;
  const axis: uPlot.Axis = {
    stroke: () => cssColour('--text-3'),
    grid: { stroke: () => cssColour('--chart-grid'), width: 1 },
    ticks: { show: false },
    font,
  };
  const edge: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } };
  return {
    width: o.width,
    height: o.height,
    padding: [12, RIGHT_PX, o.timeLabels ? 0 : 8, 0],
    legend: { show: false },
    cursor: {
      x: true,
      y: true,
      points: {
        // Only the line gets a dot, not the edges of the band.
        size: (_plot, series) => (series === 1 ? 7 : 0),
        width: (_plot, series) => (series === 1 ? 2 : 0),
        fill: () => cssColour('--chart-line'),
        stroke: () => cssColour('--panel'),
      },
      drag: { x: true, y: false, setScale: false },
      focus: { prox: -1 },
      dataIdx: (plot, _series, index, time) => {
        const at = plot.data[0][index];
        return at !== undefined && Math.abs(plot.valToPos(at, 'x') - plot.valToPos(time, 'x')) <= REACH_PX ? index : null;
      },
      bind: {
        // With the shift key a drag moves the time instead; gestures.ts sees to it.
        mousedown: (_plot, _target, handler) => (event: MouseEvent) => (event.shiftKey ? null : handler(event)),
        dblclick: () => () => {
          o.onreset();
          return null;
        },
      },
    },
    scales: {
      x: { time: true },
      y: { range: (plot, low, high) => o.range ?? shownRange(plot, o, low, high) },
    },
    axes: [
      timeAxis(axis, o),
      {
        ...axis,
        size: GUTTER_PX,
        space: 36,
        // Without a line, values on the axis would only be invented.
        values: (plot, splits) => splits.map((value) => (hasLine(plot) ? `${formatLimit(value, o.locale)} ${o.metric.unit}`.trim() : '')),
      },
    ],
    series: [
      {},
      { stroke: () => cssColour('--chart-line'), width: 1.25, spanGaps: false, points: { show: true, filter: lonePoints, size: 4, fill: () => cssColour('--chart-line') } },
      { ...edge },
      { ...edge },
    ],
    bands: [{ series: [3, 2], fill: () => cssColour('--chart-band') }],
    hooks: {
      drawClear: [(plot) => drawShades(plot, o.shades()), (plot) => drawExpected(plot, o.expected())],
      draw: [(plot) => drawLimits(plot, o)],
      setCursor: [
        (plot) => {
          const { left = -1 } = plot.cursor;
          o.onpoint(left < 0 ? undefined : plot.posToVal(left, 'x') * 1_000);
        },
      ],
      setSelect: [
        (plot) => {
          const { left, width } = plot.select;
          if (width < 4) return;
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          o.onzoom(plot.posToVal(left, 'x') * 1_000, plot.posToVal(left + width, 'x') * 1_000);
        },
      ],
    },
  };
}

/** The data with what is expected beside them, so that both are seen. */
function shownRange(plot: uPlot, o: PlotOptions, low: number | null, high: number | null): [number, number] {
  const { min = -Infinity, max = Infinity } = plot.scales.x ?? {};
  const seen = o.expected().filter(({ from, to }) => to / 1_000 > min && from / 1_000 < max);
  const lows = [...seen.map((stretch) => stretch.low), low ?? seen[0]?.low ?? o.metric.min ?? 0];
  const highs = [...seen.map((stretch) => stretch.high), high ?? seen[0]?.high ?? o.metric.max ?? 1];
  return valueRange(Math.min(...lows), Math.max(...highs), o.metric);
}

/** Whether anything is drawn in the span that is shown. */
function hasLine(plot: uPlot): boolean {
  const { min = 0, max = 0 } = plot.scales.x ?? {};
  return plot.data[0].some((time, i) => time >= min && time <= max && plot.data[1]?.[i] != null);
}

/** A point with a gap on both sides would not show as a line; it shows as a dot. */
function lonePoints(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const lone: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) lone.push(i);
  }
  return lone;
}

/** Round times of the zone that the charts show; uPlot's own marks know only the browser's. */
function timeAxis(axis: uPlot.Axis, o: PlotOptions): uPlot.Axis {
  let every = 0;
  return {
    ...axis,
    size: o.timeLabels ? TIME_AXIS_PX : 0,
    gap: 8,
    splits: (plot, _axis, from, to) => {
      const found = ticks(from * 1_000, to * 1_000, (plot.width - GUTTER_PX) / TICK_PX, o.zone);
      every = found.every;
      return found.at.map((at) => at / 1_000);
    },
    values: (plot, splits) =>
      splits.map((at) => {
        // Half of a text at the very end would be cut off.
        const cut = plot.width - GUTTER_PX - RIGHT_PX - plot.valToPos(at, 'x') < HALF_LABEL_PX - RIGHT_PX;
        return o.timeLabels && !cut ? tickLabel(at * 1_000, every, o.locale, o.zone) : '';
      }),
  };
}

function drawShades(plot: uPlot, shades: Shade[]): void {
  const { ctx, bbox } = plot;
  const x = (time: number) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, plot.valToPos(time / 1_000, 'x', true)));
  for (const { from, to, token } of shades) {
    ctx.fillStyle = cssColour(token);
    ctx.fillRect(x(from), bbox.top, x(to) - x(from), bbox.height);
  }
}

function drawExpected(plot: uPlot, stretches: Stretch[]): void {
  const { ctx, bbox } = plot;
  const x = (time: number) => Math.max(bbox.left, Math.min(bbox.left + bbox.width, plot.valToPos(time / 1_000, 'x', true)));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.fillStyle = cssColour('--expected');
  ctx.strokeStyle = cssColour('--expected-edge');
  ctx.lineWidth = devicePixelRatio;
  for (const { from, to, low, high } of stretches) {
    const [left, right] = [x(from), x(to)];
    if (right <= left) continue;
    const [top, bottom] = [plot.valToPos(high, 'y', true), plot.valToPos(low, 'y', true)];
    ctx.fillRect(left, top, right - left, bottom - top);
    ctx.beginPath();
    for (const y of [top, bottom]) {
      ctx.moveTo(left, y);
      ctx.lineTo(right, y);
    }
    ctx.stroke();
  }
  ctx.restore();
}

function drawLimits(plot: uPlot, o: PlotOptions): void {
  const { ctx, bbox } = plot;
  const { min = -Infinity, max = Infinity } = plot.scales.y ?? {};
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = cssColour('--warn');
  ctx.fillStyle = cssColour('--warn');
  ctx.lineWidth = ratio;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.setLineDash([5 * ratio, 4 * ratio]);
  ctx.font = `${FONT_PX * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  for (const end of ['min', 'max'] as const) {
    const limit = o.metric[end];
    if (limit === undefined || limit <= min || limit >= max) continue;
    const y = Math.round(plot.valToPos(limit, 'y', true)) + 0.5;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    // Inside the normal range there is always room; the rim keeps it readable on the line.
    const text = `${o.limitTexts[end]} ${formatLimit(limit, o.locale)} ${o.metric.unit}`;
    const [x, baseline] = [bbox.left + 6 * ratio, end === 'max' ? y + 14 * ratio : y - 6 * ratio];
    ctx.save();
    ctx.setLineDash([]);
    ctx.lineWidth = 3 * ratio;
    ctx.strokeStyle = cssColour('--panel');
    ctx.strokeText(text, x, baseline);
    ctx.restore();
    ctx.fillText(text, x, baseline);
  }
  ctx.restore();
}
