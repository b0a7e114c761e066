import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const lib = fileURLToPath(new URL('./src/lib', import.meta.url));

/** Go embeds dist/, so the folder must hold a file even before the first build and after each one. */
function keepFolder(): Plugin {
  return {
    name: 'keep-dist-folder',
    apply: 'build',
    generateBundle() {
      this.emitFile({ type: 'asset', fileName: '.gitkeep', source: '' });
    },
  };
}

export default defineConfig({
  plugins: [svelte(), keepFolder()],
  resolve: { alias: { $lib: lib } },
  build: {
    target: 'es2022',
    // The server's Content-Security-Policy allows data: for pictures only, so fonts stay files.
    assetsInlineLimit: 0,
    // Same reason: the polyfill would be an inline script.
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': { target: 'http://127.0.0.1:8080' } },
  },
  test: { include: ['src/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0]);
