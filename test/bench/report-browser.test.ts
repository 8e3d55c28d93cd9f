/**
 * The page in a real browser: Debian's chromium, by playwright-core. Skipped with a message where
 * it is not installed (`apt-get install chromium`).
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { reportFiles } from '../../native-free-bench/report/report.ts'
import { readFolder } from '../../src/cli/report-files.ts'
import { resultsOfEveryKind, writeFolder } from './report-folder.ts'

const CHROMIUM = '/usr/bin/chromium'
const hasBrowser = existsSync(CHROMIUM)
if (!hasBrowser) console.warn(`no ${CHROMIUM}: the page is not seen (apt-get install chromium)`)

const dir = mkdtempSync(join(tmpdir(), 'xpaxos-page-'))
const address = pathToFileURL(join(dir, 'report.html')).href
let browser: Browser | undefined

beforeAll(async () => {
  if (!hasBrowser) return
  writeFolder(dir, await resultsOfEveryKind())
  writeFileSync(join(dir, 'report.html'), reportFiles(readFolder(dir))['report.html']!)
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
})
afterAll(async () => {
  await browser?.close()
  rmSync(dir, { recursive: true })
})

interface Look {
  readonly width: number
  readonly colorScheme: 'light' | 'dark'
}

/** The page with all its tables open; what it complains of, and what it asks for elsewhere. */
async function opened({ width, colorScheme }: Look) {
  const page = await browser!.newPage({ viewport: { width, height: 900 }, colorScheme })
  const complaints: string[] = []
  page.on('console', (message) => complaints.push(message.text()))
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => {
    if (request.url() !== address && !request.url().startsWith('data:'))
      complaints.push(request.url())
  })
  await page.goto(address)
  for (const summary of await page.locator('summary').all()) await summary.click()
  return { page, complaints }
}

/** Names of what reaches beyond an edge of the page, or of its chart. */
const overflowing = (page: Page): Promise<string[]> =>
  page.evaluate(`(() => {
    const wide = [...document.querySelectorAll('body *')].filter((one) => {
      const { left, right, width } = one.getBoundingClientRect()
      const edge = one.closest('svg')?.getBoundingClientRect() ?? { left: 0, right: innerWidth }
      const isHidden = getComputedStyle(one.closest('thead') ?? one).clipPath !== 'none'
      return !isHidden && width > 0 && (left < edge.left - 1 || right > edge.right + 1)
    })
    const page = document.documentElement.scrollWidth > innerWidth ? ['the page'] : []
    return [...page, ...wide.map((one) => one.tagName + ' ' + one.textContent.slice(0, 40))]
  })()`)

/** Texts of which more than a little lies under another text of the same chart. */
const colliding = (page: Page): Promise<string[]> =>
  page.evaluate(`[...document.querySelectorAll('svg')].flatMap((svg) => {
    const texts = [...svg.querySelectorAll('text')]
    const boxes = texts.map((text) => text.getBoundingClientRect())
    return texts.flatMap((text, i) => texts.slice(i + 1).flatMap((other, k) => {
      const [a, b] = [boxes[i], boxes[i + 1 + k]]
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left)
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
      return across > 1 && down > 4 ? [text.textContent + ' / ' + other.textContent] : []
    }))
  })`)

const LOOKS: Look[] = [
  { width: 1_100, colorScheme: 'light' },
  { width: 1_100, colorScheme: 'dark' },
  { width: 360, colorScheme: 'light' },
  { width: 360, colorScheme: 'dark' },
]

test.skipIf(!hasBrowser).each(LOOKS)(
  'at $width px, $colorScheme: nothing overflows, collides or complains',
  async (look) => {
    const { page, complaints } = await opened(look)
    expect(await overflowing(page)).toEqual([])
    expect(await colliding(page)).toEqual([])
    expect(complaints).toEqual([])
    await page.close()
  },
)

test.skipIf(!hasBrowser)(
  'every chart has a name and a description for who does not see it',
  async () => {
    const { page } = await opened(LOOKS[0]!)
    const charts = await page.getByRole('img').all()
    expect(charts.length).toBeGreaterThan(10)
    expect(await page.locator('svg').count()).toBe(charts.length)
    for (const chart of charts) {
      const ids = (await chart.getAttribute('aria-labelledby'))!.split(' ')
      for (const id of ids) expect(await page.locator(`#${id}`).textContent()).not.toBe('')
    }
    await page.close()
  },
)

test.skipIf(!hasBrowser)('dark is dark and paper is white, whatever the screen is', async () => {
  const { page } = await opened({ width: 1_100, colorScheme: 'dark' })
  const colours = (): Promise<string> =>
    page.evaluate(`(() => {
      const of = (name, key) => getComputedStyle(document.querySelector(name))[key]
      return of('body', 'backgroundColor') + ' ' + of('svg text.strong', 'fill')
    })()`)
  expect(await colours()).toBe('rgb(1, 4, 9) rgb(230, 237, 243)')
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' })
  expect(await colours()).toBe('rgb(255, 255, 255) rgb(31, 35, 40)')
  await page.close()
})

test.skipIf(!hasBrowser)('on paper every table is open', async () => {
  const page = await browser!.newPage()
  await page.goto(address)
  await page.emulateMedia({ media: 'print' })
  const isOpen = `[...document.querySelectorAll('table')].every((one) => one.checkVisibility())`
  const poll = { timeout: 20_000 } // the style comes with the next frame
  await expect.poll(() => page.evaluate(isOpen), poll).toBe(true)
  await page.close()
})

test.skipIf(!hasBrowser)('text stands out from its ground, light and dark', async () => {
  for (const look of LOOKS.slice(0, 2)) {
    const { page } = await opened(look)
    const faint: string[] = await page.evaluate(CONTRAST)
    expect(faint).toEqual([])
    await page.close()
  }
})

/** Texts of HTML whose contrast to the nearest ground is below 4.5 : 1 (WCAG 2.2, AA). */
const CONTRAST = `(() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const linear = (c) => c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  const groundOf = (one) => {
    for (let at = one; at !== null; at = at.parentElement) {
      const ground = parts(getComputedStyle(at).backgroundColor)
      if (ground.length === 3 || ground[3] > 0) return ground
    }
    return [255, 255, 255]
  }
  const isText = (node) => node.nodeType === 3 && node.data.trim() !== ''
  const texts = [...document.querySelectorAll('main *, header *')].filter((one) =>
    !one.closest('svg') && [...one.childNodes].some(isText))
  return texts.flatMap((one) => {
    const [a, b] = [light(parts(getComputedStyle(one).color)), light(groundOf(one))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    return ratio < 4.5 ? [one.textContent.slice(0, 30) + ' ' + ratio.toFixed(2)] : []
  })
})()`
