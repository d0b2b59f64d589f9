import { expect, test } from 'vitest'
import { browserPath, launchBrowser } from './browser.ts'
import { Connection } from './connection.ts'
import { ServerProcess, handlerFile } from './server-process.ts'

// Needs a browser: apt-get install chromium
test.skipIf(browserPath === undefined)(
  'the page shows the live mount table and counters, and says when the server is gone',
  async () => {
    await using server = await ServerProcess.start({
      mounts: [
        { prefix: '/', module: 'builtin:welcome' },
        { prefix: '/hello', module: handlerFile('hello') },
      ],
    })
    const browser = await launchBrowser()
    try {
      const page = await browser.newPage({ viewport: { width: 320, height: 600 } })
      await page.goto(server.url('/'))
      const text = (): Promise<string> => page.locator('body').innerText()
      await expect.poll(text).toContain('/hello')
      using connection = await Connection.open(server.port)
      for (let request = 0; request < 1234; request++) await connection.get('/hello')
      await expect.poll(text, { timeout: 5000 }).toContain('1,234')
      await server.command('mount', '/late', '--module', handlerFile('hello'))
      await expect.poll(text, { timeout: 5000 }).toContain('/late')
      // Nothing sticks out of a narrow window.
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(320)
      await page.getByRole('button', { name: 'Pause' }).click()
      await server.command('unmount', '/late')
      await page.getByRole('button', { name: 'Resume' }).click()
      await expect.poll(text, { timeout: 5000 }).not.toContain('/late')
      server.signal('SIGKILL')
      await server.exited()
      await expect.poll(text, { timeout: 5000 }).toMatch(/cannot be reached/u)
    } finally {
      await browser.close()
    }
  },
  60_000,
)
