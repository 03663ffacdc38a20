// Threads of a session: n - 1 of them beside the caller, started when first needed. They take parts of a layer from one
// counter, the caller too, so that nobody waits for a thread that has not come. The caller takes the first, the others the
// last: so much of what a thread reads in a layer is what it wrote in the one before, in its own core's cache. A thread without work spins for at most
// 20 us, the distance of two layers, and then sleeps.
// For core.cpp, which includes it behind FloatControl.

class Threads
{
  public:
    explicit Threads(uint32_t count) : interface_{count, this, each} {}
    ~Threads() { stop(); }
    Threads(const Threads &) = delete;
    Threads &operator=(const Threads &) = delete;

    // For a run; nullptr if there is none but the caller.
    const pe_threads *start()
    {
        if (pid_ != getpid()) { // after fork() the child has the memory, locks as they were, and no threads
            state_.release();
            state_ = std::make_unique<State>();
            pid_ = getpid();
            for (uint32_t i = 1; i < interface_.count; i++) {
                try {
                    state_->threads.emplace_back(work, state_.get(), i);
                } catch (const std::system_error &) { // no more to be had: the others do all
                    break;
                }
            }
        }
        return &interface_;
    }

  private:
    typedef void call_fn(void *job, uint32_t part, uint32_t thread);

    struct State {
        // What is to do: number of the job << 36 | parts << 24 | taken from the front << 12 | from the back. One word, so
        // that a thread that comes late takes a part of the job that there is, or none; a job stays until all its parts
        // are done.
        std::atomic<uint64_t> ticket{0};
        call_fn *call = nullptr;
        void *job = nullptr;
        std::atomic<uint32_t> done{0};
        std::mutex lock;
        std::condition_variable came, finished;
        std::atomic<uint32_t> asleep{0};
        std::atomic<bool> waiting{false}, stopped{false};
        std::vector<std::thread> threads;
    };

    static uint32_t parts_of(uint64_t ticket) { return ticket >> 24 & 0xFFF; }
    static uint32_t front_of(uint64_t ticket) { return ticket >> 12 & 0xFFF; }
    static uint32_t back_of(uint64_t ticket) { return ticket & 0xFFF; }
    static bool has_parts(uint64_t ticket) { return front_of(ticket) + back_of(ticket) < parts_of(ticket); }

    // Parts of the job until none is left.
    static void take(State &s, uint32_t thread)
    {
        for (uint64_t t = s.ticket; has_parts(t);) {
            if (!s.ticket.compare_exchange_weak(t, t + (thread == 0 ? 1 << 12 : 1)))
                continue;
            s.call(s.job, thread == 0 ? front_of(t) : parts_of(t) - 1 - back_of(t), thread);
            if (++s.done == parts_of(t) && s.waiting) {
                std::lock_guard<std::mutex> guard(s.lock);
                s.finished.notify_one();
            }
            t = s.ticket;
        }
    }

    // Until ready(), or for 20 us; whether it is ready.
    template <class F> static bool spin(F ready)
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(20);
        do {
            for (int i = 0; i < 16; i++) {
                if (ready())
                    return true;
                pause();
            }
        } while (std::chrono::steady_clock::now() < end);
        return ready();
    }

    static void pause()
    {
#if defined(__x86_64__) || defined(__SSE2__)
        _mm_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }

    static void work(State *s, uint32_t thread)
    {
        FloatControl control;
        auto ready = [s] { return s->stopped || has_parts(s->ticket); };
        while (!s->stopped) {
            take(*s, thread);
            if (spin(ready))
                continue;
            std::unique_lock<std::mutex> guard(s->lock);
            s->asleep++;
            s->came.wait(guard, ready);
            s->asleep--;
        }
    }

    static void each(void *ctx, uint32_t parts, call_fn *call, void *job)
    {
        State &s = *static_cast<Threads *>(ctx)->state_;
        s.call = call;
        s.job = job;
        s.done = 0;
        s.ticket = ((s.ticket >> 36) + 1) << 36 | static_cast<uint64_t>(parts) << 24;
        if (s.asleep != 0) {
            std::lock_guard<std::mutex> guard(s.lock);
            s.came.notify_all();
        }
        take(s, 0);
        auto finished = [&] { return s.done == parts; };
        if (spin(finished))
            return;
        s.waiting = true;
        {
            std::unique_lock<std::mutex> guard(s.lock);
            s.finished.wait(guard, finished);
        }
        s.waiting = false;
    }

    void stop()
    {
        if (pid_ != getpid()) { // never started, or started by the parent of this process
            state_.release();
            return;
        }
        {
            std::lock_guard<std::mutex> guard(state_->lock);
            state_->stopped = true;
            state_->came.notify_all();
        }
        for (std::thread &t : state_->threads)
            t.join();
    }

    pe_threads interface_;
    pid_t pid_ = 0; // of the process that has the threads
    std::unique_ptr<State> state_;
};
