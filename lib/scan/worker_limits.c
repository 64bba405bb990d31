/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a decoding process may: compute, ask for memory up to its limit, start threads, and talk over what it has open. No files, no
 * programs, no network. And the notes it leaves when it fails, read by the library when it is gone.
 */
#include "scan/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Near to the stack pointer is what a function touches that has no room left: its frame, or its call's. */
#define STACK_REACH (256u << 10)
/* Higher goes first when the system runs out of memory; 1000 would come before everything else there is. */
#define OOM_SCORE "700"

static struct ims_worker_control *journal;
static uint64_t memory_limit;
static int memory_use_fd = -1;

/* ---- both processes ---- */

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0) {
        /* Not allowed here; then the system's own choice stands. */
    }
    close(fd);
}

bool ims_worker_follow(int64_t parent)
{
    const struct rlimit none = {0, 0};

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return false;
    (void)setrlimit(RLIMIT_CORE, &none);
    write_file("/proc/self/oom_score_adj", OOM_SCORE);
    /* It may have ended before we asked to be told. */
    return getppid() == (pid_t)parent;
}

/* ---- notes about faults ---- */

static void note_fault(uint32_t fault)
{
    atomic_store(&journal->fault, fault);
}

#if defined(__x86_64__)
static uintptr_t stack_pointer(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
}
#elif defined(__aarch64__)
static uintptr_t stack_pointer(const ucontext_t *context)
{
    return (uintptr_t)context->uc_mcontext.sp;
}
#else
static uintptr_t stack_pointer(const ucontext_t *context)
{
    (void)context;
    return 0;
}
#endif

static void handle_fault(int signal_number, siginfo_t *info, void *context)
{
    if (signal_number == SIGSYS) {
        atomic_store(&journal->fault_call, (uint32_t)info->si_syscall);
        note_fault(IMS_FAULT_CALL);
    } else if (info->si_code > 0) {
        uintptr_t at = (uintptr_t)info->si_addr, top = stack_pointer(context);

        if (top != 0 && at + STACK_REACH > top && at < top + STACK_REACH)
            note_fault(IMS_FAULT_STACK);
    }
    /* The handler is used once; the signal comes again when it returns, and ends the process. */
    (void)raise(signal_number);
}

static void catch_faults(void)
{
    static uint8_t memory[65536];
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND};

    (void)sigaltstack(&stack, NULL);
    action.sa_sigaction = handle_fault;
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
    (void)sigaction(SIGSYS, &action, NULL);
}

/* ---- memory ---- */

#if defined(__GLIBC__) && !SANITIZED
/*
 * Decoders answer a refusal of memory in many ways, most of them end the process. So it is noted where it happens: these stand in
 * front of the C library's own functions, for every library in the process.
 */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

/* Bytes of data in use as the kernel counts them for the limit: sixth number of statm, in pages (proc(5)). */
static uint64_t memory_in_use(void)
{
    char text[256];
    ssize_t size = pread(memory_use_fd, text, sizeof(text) - 1, 0);
    const char *at = text;

    if (size <= 0)
        return 0;
    text[size] = '\0';
    for (int field = 0; field < 5 && at != NULL; field++)
        if ((at = strchr(at, ' ')) != NULL)
            at++;
    return at != NULL ? strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static void refused(size_t size)
{
    int error = errno;
    uint64_t used;

    if (memory_limit != 0) {
        /* Without /proc the limit is the likely cause. */
        used = memory_use_fd >= 0 ? memory_in_use() : memory_limit;
        if (used > memory_limit || size > memory_limit - used)
            note_fault(IMS_FAULT_MEMORY);
    }
    errno = error;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    void *block = __libc_malloc(size);

    if (block == NULL)
        refused(size);
    return block;
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    void *block = __libc_calloc(count, size);

    if (block == NULL)
        refused(count > 0 && size > SIZE_MAX / count ? SIZE_MAX : count * size);
    return block;
}

__attribute__((visibility("default"))) void *realloc(void *block, size_t size)
{
    void *larger = __libc_realloc(block, size);

    if (larger == NULL && size > 0)
        refused(size);
    return larger;
}

__attribute__((visibility("default"))) void *aligned_alloc(size_t alignment, size_t size)
{
    void *block = __libc_memalign(alignment, size);

    if (block == NULL)
        refused(size);
    return block;
}

__attribute__((visibility("default"))) int
posix_memalign(void **out_block, size_t alignment, size_t size)
{
    void *block;

    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        return EINVAL;
    if ((block = __libc_memalign(alignment, size)) == NULL) {
        refused(size);
        return ENOMEM;
    }
    *out_block = block;
    return 0;
}
#endif

/*
 * RLIMIT_DATA counts what a process may write to and shares with nobody: what its decoders allocate. RLIMIT_AS would count
 * libraries, reservations of the allocator and the shared contents of files as well, so it comes with room for these; it is
 * there for memory that is shared with nobody yet.
 */
static void limit_memory(uint64_t limit)
{
    const struct rlimit data = {limit, limit};
    const rlim_t room = (rlim_t)64 << 30;
    const struct rlimit space = {limit + room, limit + room};

    if (SANITIZED || limit == 0)
        return; /* a sanitizer's shadow memory takes terabytes of addresses */
    memory_use_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    memory_limit = limit;
    (void)setrlimit(RLIMIT_DATA, &data);
    (void)setrlimit(RLIMIT_AS, &space);
    (void)setrlimit(RLIMIT_FSIZE, &data); /* pixels that it shares */
}

/* ---- system calls ---- */

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#if defined(OUR_ARCHITECTURE) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_HALF(field) ((uint32_t)offsetof(struct seccomp_data, field))
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, (value))
/* Go on if equal, else skip so many. */
#define UNLESS_EQUAL_SKIP(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define IF_SET_SKIP(bits, skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), (skip), 0)
#define UNLESS_SET_SKIP(bits, skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bits), 0, (skip))

/* Allowed with any arguments. */
static const int allowed[] = {
    SYS_read,         SYS_write,           SYS_readv,           SYS_writev,
    SYS_pread64,      SYS_close,           SYS_lseek,           SYS_fstat,
    SYS_recvfrom,     SYS_sendto,          SYS_recvmsg,         SYS_sendmsg,
    SYS_ppoll,        SYS_eventfd2,        SYS_ftruncate,       SYS_futex,
    SYS_munmap,       SYS_mremap,          SYS_madvise,         SYS_brk,
    SYS_mincore,      SYS_membarrier,      SYS_rt_sigaction,    SYS_rt_sigprocmask,
    SYS_rt_sigreturn, SYS_sigaltstack,     SYS_set_robust_list, SYS_set_tid_address,
    SYS_gettid,       SYS_getpid,          SYS_getppid,         SYS_exit,
    SYS_exit_group,   SYS_clock_gettime,   SYS_clock_getres,    SYS_clock_nanosleep,
    SYS_nanosleep,    SYS_gettimeofday,    SYS_sched_yield,     SYS_sched_getaffinity,
    SYS_getcpu,       SYS_getrandom,       SYS_getrusage,       SYS_sysinfo,
    SYS_uname,        SYS_restart_syscall, SYS_getuid,          SYS_geteuid,
    SYS_getgid,       SYS_getegid,
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_time
    SYS_time,
#endif
};

/* What no decoder does by accident: reported instead of refused. */
static const int reported[] = {SYS_execve, SYS_execveat, SYS_socket, SYS_ptrace, SYS_bpf};

#define FILTER_MAX 512

struct filter {
    struct sock_filter steps[FILTER_MAX];
    unsigned short count;
};

static void add(struct filter *filter, struct sock_filter step)
{
    if (filter->count < FILTER_MAX)
        filter->steps[filter->count++] = step;
}

/* Decide about one call by bits of one argument: `when_set` if any is set, else `when_clear`. */
static void add_bits(
    struct filter *filter,
    int call,
    uint32_t argument_at,
    uint32_t bits,
    uint32_t when_set,
    uint32_t when_clear)
{
    add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP((uint32_t)call, 4));
    add(filter, (struct sock_filter)LOAD(argument_at));
    add(filter, (struct sock_filter)UNLESS_SET_SKIP(bits, 1));
    add(filter, (struct sock_filter)RETURN(when_set));
    add(filter, (struct sock_filter)RETURN(when_clear));
}

/* Allow one call if an argument has this value. */
static void add_value(struct filter *filter, int call, uint32_t argument_at, uint32_t value)
{
    add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP((uint32_t)call, 4));
    add(filter, (struct sock_filter)LOAD(argument_at));
    add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP(value, 1));
    add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
    add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | EPERM));
}

static void build_filter(struct filter *filter)
{
    const uint32_t refuse = SECCOMP_RET_ERRNO | EPERM;

    add(filter, (struct sock_filter)LOAD(LOW_HALF(arch)));
    add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP(OUR_ARCHITECTURE, 1));
    add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
    add(filter, (struct sock_filter)RETURN(SECCOMP_RET_KILL_PROCESS));
    add(filter, (struct sock_filter)LOAD(LOW_HALF(nr)));

    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP((uint32_t)allowed[i], 1));
        add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
    }
    for (size_t i = 0; i < sizeof(reported) / sizeof(reported[0]); i++) {
        add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP((uint32_t)reported[i], 1));
        add(filter, (struct sock_filter)RETURN(SECCOMP_RET_TRAP));
    }
    /* Threads, no processes; clone3 keeps its flags in memory, so that the C library has to use the older call. */
    add_bits(
        filter, SYS_clone, LOW_HALF(args[0]), CLONE_THREAD, SECCOMP_RET_ALLOW, SECCOMP_RET_TRAP);
#ifdef SYS_clone3
    add(filter, (struct sock_filter)UNLESS_EQUAL_SKIP(SYS_clone3, 1));
    add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | ENOSYS));
#endif
    /* No memory that is written and run. */
    add_bits(filter, SYS_mmap, LOW_HALF(args[2]), PROT_EXEC, refuse, SECCOMP_RET_ALLOW);
    add_bits(filter, SYS_mprotect, LOW_HALF(args[2]), PROT_EXEC, refuse, SECCOMP_RET_ALLOW);
    /* Signals to itself: abort(). */
    add_value(filter, SYS_tgkill, LOW_HALF(args[0]), (uint32_t)getpid());
    /* Names of threads. */
    add_value(filter, SYS_prctl, LOW_HALF(args[0]), PR_SET_NAME);
    /* fstat() of this C library. */
    add_value(filter, SYS_newfstatat, LOW_HALF(args[3]), 0x1000 /* AT_EMPTY_PATH */);
    add(filter, (struct sock_filter)RETURN(refuse));
}

static void forbid_calls(void)
{
    static struct filter filter;
    struct sock_fprog program;

    if (SANITIZED)
        return; /* their libraries look at files of /proc, and start a process when they report */
    build_filter(&filter);
    program = (struct sock_fprog){.len = filter.count, .filter = filter.steps};
    /* A kernel without it leaves the other limits. */
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
#else
static void forbid_calls(void)
{
}
#endif

void ims_worker_lock_down(struct ims_worker_control *control)
{
    journal = control;
    catch_faults();
    limit_memory(control->memory_limit);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    forbid_calls();
}
