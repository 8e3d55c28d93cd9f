import { defineConfig } from 'vitest/config'

/** For vitest's processes, the threads they start (execArgv) and what they spawn (the variable). */
const preload = ['--import', new URL('./test/support/strip-once.mjs', import.meta.url).href]
const options = [...preload, '--disable-warning=ExperimentalWarning']

export default defineConfig({
  test: {
    environment: 'node',
    globals: false,
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: 'forks',
    maxWorkers: 2,
    execArgv: options,
    env: { NODE_OPTIONS: options.join(' ') },
  },
})
