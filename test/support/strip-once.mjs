/**
 * Preload of the tests: types are stripped from a source once, not once in every thread and process
 * that loads it; without it a third of the suite's time goes there. By content, so never stale.
 */
import { createHash, randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { fileURLToPath } from 'node:url'

const FOLDER = fileURLToPath(new URL(`../../.cache/stripped-${process.version}/`, import.meta.url))

registerHooks({
  load(url, context, nextLoad) {
    if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context)
    return { format: 'module', source: stripped(fileURLToPath(url)), shortCircuit: true }
  },
})

function stripped(path) {
  const source = readFileSync(path, 'utf8')
  const name = FOLDER + createHash('sha1').update(source).digest('hex')
  try {
    return readFileSync(name, 'utf8')
  } catch {
    const text = stripTypeScriptTypes(source)
    mkdirSync(FOLDER, { recursive: true })
    const draft = `${name}.${randomUUID()}`
    writeFileSync(draft, text)
    renameSync(draft, name)
    return text
  }
}
