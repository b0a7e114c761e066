import { cssColour } from '$lib/charts/colours';
import { graticuleStep, project, toPixels, unproject, type Viewport } from './geo';
import type { Outline } from './outline';

/** Beyond this scale the outline's own error (about a kilometre) would be told as fact. */
const OUTLINE_MAX_SCALE = 2 ** 19;

/** Draws what lies under the kiosks: land, borders and graticule. */
export function drawBase(canvas: HTMLCanvasElement, view: Viewport, outline: Outline | undefined): void {
  const ratio = devicePixelRatio;
  canvas.width = Math.round(view.width * ratio);
  canvas.height = Math.round(view.height * ratio);
  const context = canvas.getContext('2d');
  if (!context) return;
  context.scale(ratio, ratio);
  if (outline && view.scale <= OUTLINE_MAX_SCALE) drawOutline(context, view, outline);
  drawGraticule(context, view);
}

function drawOutline(context: CanvasRenderingContext2D, view: Viewport, outline: Outline): void {
  context.save();
  context.translate(view.width / 2, view.height / 2);
  context.scale(view.scale, view.scale);
  context.translate(-view.center.x, -view.center.y);
  context.fillStyle = cssColour('--land');
  context.fill(outline.land, 'evenodd');
  context.lineWidth = 1 / view.scale;
  context.lineJoin = 'round';
  context.strokeStyle = cssColour('--coast');
  context.stroke(outline.coasts);
  context.setLineDash([3 / view.scale, 3 / view.scale]);
  context.stroke(outline.borders);
  context.restore();
}

function drawGraticule(context: CanvasRenderingContext2D, view: Viewport): void {
  const step = graticuleStep(view, 110);
  const half = { x: view.width / 2 / view.scale, y: view.height / 2 / view.scale };
  const northWest = unproject({ x: view.center.x - half.x, y: view.center.y - half.y });
  const southEast = unproject({ x: view.center.x + half.x, y: view.center.y + half.y });
  const digits = Math.max(0, Math.ceil(-Math.log10(step)));
  const labels: [text: string, x: number, y: number][] = [];
  context.strokeStyle = cssColour('--graticule');
  context.lineWidth = 1;
  context.font = `10px ${getComputedStyle(document.body).fontFamily}`;
  context.beginPath();
  for (let lng = Math.ceil(northWest.lng / step) * step; lng <= southEast.lng; lng += step) {
    const x = Math.round(toPixels(project({ lat: 0, lng }), view).x) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, view.height);
    labels.push([degrees(lng, digits, 'E', 'W'), x + 4, view.height - 6]);
  }
  for (let lat = Math.ceil(southEast.lat / step) * step; lat <= northWest.lat; lat += step) {
    const y = Math.round(toPixels(project({ lat, lng: 0 }), view).y) + 0.5;
    context.moveTo(0, y);
    context.lineTo(view.width, y);
    if (y > 16 && y < view.height - 30) labels.push([degrees(lat, digits, 'N', 'S'), 6, y - 4]);
  }
  context.stroke();
  // A rim in the colour of the water keeps the words readable on lines and coasts.
  context.fillStyle = cssColour('--text-3');
  context.strokeStyle = cssColour('--water');
  context.lineWidth = 3;
  for (const [text, x, y] of labels) {
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }
}

function degrees(value: number, digits: number, positive: string, negative: string): string {
  const size = Math.abs(value).toFixed(digits);
  return Number(size) === 0 ? '0°' : `${size}° ${value > 0 ? positive : negative}`;
}
