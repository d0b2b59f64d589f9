/** CPU time of all threads of this process, in µs. */
export const cpuMicroseconds = () => {
  const { user, system } = process.cpuUsage()
  return user + system
}
