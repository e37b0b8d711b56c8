// Counts the instructions that a thread executes between two calls, with the trap flag of x86 processors: after every
// instruction the system sends SIGTRAP to the thread, and the handler counts.
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <ucontext.h>

static volatile long instructions;
static volatile long long last;

static void count(int number, siginfo_t* information, void* context) {
  (void)number;
  (void)information;
  const long long next = ((ucontext_t*)context)->uc_mcontext.gregs[REG_RIP];
  instructions += next != last;  // a repeated string instruction stops after every repetition
  last = next;
}

void begin_counting(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = count;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGTRAP, &action, NULL);
  instructions = 0;
  __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
}

long end_counting(void) {
  __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
  return instructions;
}
