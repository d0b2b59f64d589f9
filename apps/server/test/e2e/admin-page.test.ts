import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { browserPath, launchBrowser } from './browser.ts'
import { Connection } from './connection.ts'
import { Load } from './load.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

const token = 'correct-horse-battery-staple'

// Needs a browser: apt-get install chromium
describe.skipIf(browserPath === undefined)('the page of builtin:admin', () => {
  let server: ServerProcess
  let browser: Browser
  let page: Page

  const text = (): Promise<string> => page.locator('body').innerText()
  const outcome = (): Promise<string> => page.locator('#outcome').innerText()
  const button = (name: string): ReturnType<Page['getByRole']> =>
    page.getByRole('button', { name, exact: true })
  const focused = (): Promise<string> =>
    page.evaluate('document.activeElement.getAttribute("aria-label") ?? document.activeElement.id')

  /** A picture for people, in the folder that X_SHOTS names, if any. */
  const shot = async (name: string): Promise<void> => {
    const folder = process.env.X_SHOTS
    if (folder === undefined) return
    mkdirSync(folder, { recursive: true })
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage: !name.startsWith('dialog') })
  }

  beforeAll(async () => {
    server = await ServerProcess.start({})
    const tokenFile = join(server.folder, 'token')
    writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
    server.configure({
      mounts: [
        { prefix: '/', module: handlerFile('hello') },
        { prefix: '/admin', module: 'builtin:admin', options: { tokenFile } },
      ],
    })
    await server.command('reload')
    browser = await launchBrowser()
    const context = await browser.newContext({
      viewport: { width: 1180, height: 900 },
      httpCredentials: { username: 'operator', password: token },
    })
    page = await context.newPage()
    await page.goto(server.url('/admin'))
    await page.getByText('Live', { exact: true }).waitFor()
  }, 60_000)

  afterAll(async () => {
    await browser.close()
    await server[Symbol.asyncDispose]()
  })

  test('shows what the command mounts, as it does', async () => {
    expect(await text()).not.toContain('/late')
    await server.command('mount', '/late', '--module', handlerFile('hello'))
    await expect.poll(text).toContain('/late')
    expect(await text()).toContain(String(server.pid))
    // Two snapshots, so that there are rates.
    await expect.poll(() => page.locator('#workers').innerText(), { timeout: 10_000 }).toMatch(/\d$/u)
    await shot('light')
  })

  test('mounts, with an error where it happens and in the words of the server', async () => {
    await button('Mount…').click()
    await page.getByLabel('Path prefix').fill('/late')
    await page.getByLabel('Module').fill('builtin:welcome')
    expect(await page.locator('#dialog-text').innerText()).toContain(
      'Requests for /late and all below it will go to builtin:welcome',
    )
    await button('Mount').click()
    await expect.poll(() => page.getByRole('alert').innerText()).toMatch(/taken|mounted/u)
    await shot('dialog-error')
    await page.getByLabel('Options').fill('{ not JSON')
    await page.getByLabel('Path prefix').fill('/page')
    await button('Mount').click()
    await expect.poll(() => page.getByRole('alert').innerText()).toContain('The options are not JSON')
    await page.getByLabel('Options').fill('')
    await page.keyboard.press('Escape')
    expect(await focused()).toBe('mount')
  })

  test('replaces a handler: the answer of its mount changes, and the focus is where it was', async () => {
    const before = await (await fetch(server.url('/late'))).text()
    await button('Replace /late').click()
    expect(await page.getByLabel('Module').inputValue()).toBe(handlerFile('hello'))
    await page.getByLabel('Module').fill(handlerFile('echo'))
    await shot('dialog')
    await page.keyboard.press('Enter')
    await expect.poll(outcome).toMatch(/^Replaced \/late: generation \d+ serves now\.$/u)
    expect(await focused()).toBe('Replace /late')
    const after = await (await fetch(server.url('/late'))).text()
    expect([before, after]).toEqual([expect.stringContaining('Hello'), expect.stringContaining('pid=')])
  })

  test('unmounts after it was asked whether to, and goes on by a title that is still there', async () => {
    await button('Unmount /late').click()
    expect(await focused()).toBe('cancel')
    await button('Cancel').click()
    expect(await focused()).toBe('Unmount /late')
    await button('Unmount /late').click()
    await button('Unmount').click()
    await expect.poll(outcome).toBe('Unmounted /late.')
    await expect.poll(() => page.locator('#mounts').innerText()).not.toContain('/late')
  })

  test('stays over a reload, which mounts it anew', async () => {
    await button('Reload configuration').click()
    await button('Reload').click()
    await expect.poll(outcome).toMatch(/^Reloaded\. .*Replaced: \/, \/admin\./u)
    // The old generation of the page has ended its stream, and is gone.
    await expect.poll(async () => (await server.references()).length).toBe(2)
    expect(await page.locator('#state').innerText()).toBe('Live')
  })

  test('stays over a restart under load: it shows the new process, and no request fails', async () => {
    await page.evaluate('window.same = true')
    const before = server.serving
    const load = new Load(server.port, '/', 4)
    using idle = await Connection.open(server.port)
    await idle.get('/')
    await button('Restart').click()
    await shot('dialog-restart')
    await page.locator('#confirm').click()
    await expect
      .poll(outcome, { timeout: 30_000 })
      .toMatch(
        /^Restarted: \d+ connections moved in [\d.]+ ms\. Process \d+, version 0\.0\.0, serves now\.$/u,
      )
    const pid = (): Promise<string> => page.locator('#pid').innerText()
    await expect.poll(pid, { timeout: 10_000 }).not.toBe(String(before))
    expect(await pid()).toBe(String(server.serving))
    // The old process does not wait for the stream of the page.
    await expect.poll(() => server.exited(), { timeout: 5000 }).toBe(0)
    expect((await idle.get('/'))?.status).toBe(200)
    const { statuses, broken } = await load.stop()
    expect([[...statuses.keys()], broken]).toEqual([[200], 0])
    expect(await page.evaluate('window.same')).toBe(true)
    await expect.poll(() => page.locator('#restarts').innerText()).toContain('taken over')
    expect(await page.locator('#state').innerText()).toBe('Live')
    await shot('after-restart')
  }, 60_000)

  test('is readable in the dark, and nothing sticks out of a narrow window', async () => {
    await page.emulateMedia({ colorScheme: 'dark' })
    await shot('dark')
    await page.setViewportSize({ width: 320, height: 640 })
    await shot('narrow-dark')
    await page.emulateMedia({ colorScheme: 'light' })
    await shot('narrow')
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320)
    await button('Replace /').click()
    await shot('dialog-narrow')
    expect(await page.evaluate('document.querySelector("dialog").scrollWidth')).toBeLessThanOrEqual(320)
    await button('Cancel').click()
  })

  test('says that the server is gone', async () => {
    process.kill(server.serving, 'SIGKILL')
    await expect
      .poll(() => page.locator('#state').innerText(), { timeout: 10_000 })
      .toContain('cannot be reached')
  })
})
