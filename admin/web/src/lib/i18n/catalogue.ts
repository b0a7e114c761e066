import type { en } from './en';

/** What every catalogue must hold: the keys of the English one, with any words. */
export type Messages = Widen<typeof en>;

export type Widen<T> = T extends string
  ? string
  : T extends (...args: never[]) => string
    ? T
    : { [K in keyof T]: Widen<T[K]> };

export const LANGUAGES = ['en', 'es'] as const;
export type Language = (typeof LANGUAGES)[number];

/** The languages by their own names, the same in every language. */
export const LANGUAGE_NAMES: Record<Language, string> = { en: 'English', es: 'Español' };
