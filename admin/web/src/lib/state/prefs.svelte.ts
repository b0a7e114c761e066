import type { Language } from '$lib/i18n/catalogue';

export type Theme = 'system' | 'dark' | 'light';
export const THEMES: Theme[] = ['system', 'dark', 'light'];

// public/theme.js reads the same key before the first paint.
const THEME_KEY = 'kioskfleet.theme';
const LANGUAGE_KEY = 'kioskfleet.language';

const systemLight = matchMedia('(prefers-color-scheme: light)');

/** What the person at this browser prefers; kept in the browser. */
class Prefs {
  #theme = $state<Theme>(readTheme());
  #systemLight = $state(systemLight.matches);
  #language = $state<Language>(readLanguage());

  constructor() {
    systemLight.addEventListener('change', (event) => (this.#systemLight = event.matches));
  }

  get theme(): Theme {
    return this.#theme;
  }

  set theme(theme: Theme) {
    this.#theme = theme;
    save(THEME_KEY, theme);
  }

  /** The theme in effect. */
  get look(): 'dark' | 'light' {
    if (this.#theme !== 'system') return this.#theme;
    return this.#systemLight ? 'light' : 'dark';
  }

  get language(): Language {
    return this.#language;
  }

  set language(language: Language) {
    this.#language = language;
    save(LANGUAGE_KEY, language);
  }
}

function readTheme(): Theme {
  const stored = load(THEME_KEY) as Theme | null;
  return stored && THEMES.includes(stored) ? stored : 'system';
}

function readLanguage(): Language {
  const wanted = load(LANGUAGE_KEY) ?? navigator.language;
  return wanted.toLowerCase().startsWith('es') ? 'es' : 'en';
}

/** Reads a preference; a browser that keeps nothing has none. */
export function load(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

/** Keeps a preference if the browser lets us. */
export function save(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
}

export const prefs = new Prefs();
