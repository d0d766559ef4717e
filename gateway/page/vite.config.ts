import { defineConfig } from "vitest/config";

export default defineConfig({
  build: {
    outDir: "dist",
    target: "es2022",
    // Data in URLs would have to be allowed by the page's policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
  },
  server: {
    // `npx vite` beside a running `reasoncd serve`.
    proxy: { "/v1": "http://127.0.0.1:8080" },
  },
  test: { include: ["tests/**/*.test.ts"] },
});
