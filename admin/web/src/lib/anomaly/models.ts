import type { Model, ModelFigures } from '$lib/api/types';

/** The figures of an evaluation that are compared, in the order of the table. */
export const FIGURES = ['recall', 'precision', 'false_per_day', 'delay_points'] as const;
export type Figure = (typeof FIGURES)[number];

/** Fewer false alarms and shorter delays are better; of the others, more. */
const LESS_IS_BETTER: ReadonlySet<Figure> = new Set(['false_per_day', 'delay_points']);

export interface Comparison {
  figure: Figure;
  now: number | undefined;
  before: number | undefined;
  /** Undefined when one of them is not known, or both are the same. */
  better: boolean | undefined;
}

/** Each figure of a model beside that of the model which was at work then. */
export function compare(model: Pick<Model, 'figures' | 'against'>): Comparison[] {
  return FIGURES.map((figure) => {
    const [now, before] = [model.figures?.[figure], model.against?.[figure]];
    const same = now === undefined || before === undefined || now === before;
    return { figure, now, before, better: same ? undefined : LESS_IS_BETTER.has(figure) ? now < before : now > before };
  });
}

/** Recall by kind of fault, beside the model before; by name. */
export function byKind(figures: ModelFigures | undefined, against: ModelFigures | undefined) {
  return Object.entries(figures?.by_kind ?? {})
    .map(([kind, { faults, recall }]) => ({ kind, faults, now: recall, before: against?.by_kind[kind]?.recall }))
    .sort((a, b) => (a.kind < b.kind ? -1 : 1));
}

/** The one at work first, then the newest. */
export function modelOrder(a: Model, b: Model): number {
  const current = (model: Model) => Number(model.state === 'current');
  // What comes with the program has no time and is older than all.
  const made = ({ created_at: at }: Model) => (at ? Date.parse(at) : 0);
  return current(b) - current(a) || made(b) - made(a) || (a.version < b.version ? 1 : -1);
}

/** Whether the server puts a model to work: not the one that is, and none that a check refused. */
export const promotable = (model: Model) =>
  model.state !== 'current' && model.state !== 'refused' && model.checks.every((check) => check.passed);

/** Whether the server has a model to go back to: behind a trained one there is always the built-in one. */
export const canRollBack = (models: Model[]) => models.some(({ state, origin }) => state === 'retired' || (state === 'current' && origin !== 'built_in'));

/** What a factor of a budget does, in the words of the catalogue's keys. */
export const tuningWord = (factor: number): 'quieter' | 'usual' | 'readier' => (factor < 1 ? 'quieter' : factor > 1 ? 'readier' : 'usual');
