#pragma once

/// What the files of the loop share: poller.cpp polls, sweep.cpp reconciles, backfill.cpp asks again for a
/// span. Private to them.

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dtbridge/poll/back_off.hpp>
#include <dtbridge/poll/master_clock.hpp>
#include <dtbridge/poll/poller.hpp>
#include <dtbridge/poll/window.hpp>

#include "poll/intake.hpp"

namespace dtbridge::poll
{

inline constexpr std::uint64_t max_answer = 64u << 20;
/// The shortest window is taken whatever its size, within the timeout: nothing shorter could be asked for,
/// and what streams in is committed as it comes.
inline constexpr std::uint64_t max_shortest_answer = std::uint64_t{4} << 30;

/// After so many bad answers in a row that a shorter window may cure, it is shortened though none was too
/// large; after so many to the shortest, others are not kept waiting for it any longer.
inline constexpr unsigned patience = 3;

/// Whether a shorter window may be answered where this was the answer to a longer one: something in it may be
/// too much for the master.
inline bool may_be_the_window(answer_kind k)
{
    return k == answer_kind::cut || k == answer_kind::malformed || k == answer_kind::empty_body ||
           k == answer_kind::server_error || k == answer_kind::timed_out || k == answer_kind::too_large;
}

/// Bad answers in a row, and what they say about the windows that were asked for.
struct bad_answers
{
    unsigned in_a_row = 0;
    unsigned to_the_shortest = 0;

    /// v was the answer to w. True where the next window is shorter.
    bool shorten(const verdict& v, window w, slice_length& slices)
    {
        ++in_a_row;
        if (!may_be_the_window(v.kind))
            return false;
        if (w.length() <= slice_length::least)
            ++to_the_shortest;
        return (v.what == reaction::halve || in_a_row >= patience) && slices.halve(w);
    }
    bool is_hopeless() const { return to_the_shortest >= patience; }
};

/// After a failure that somebody has to act upon first, as where a token was revoked.
inline const back_off slow_back_off{30'000, 300'000};

/// While the master does not answer a window however short it is: what is newer is polled beside it.
struct polled_beside
{
    plan_beside plan;
    window unanswered;
    bad_answers bad;
    back_off wait{1'000, 60'000};
    back_off slow = slow_back_off;
    std::int64_t next_poll = 0;  // steady
    bool last_was_good = false;
    bool said = false;               // that the master does not answer for that window
    std::optional<window> passed{};  // since the last good answer
    unsigned passes = 0;             // the same
};

/// A sweep on its way through its window, slice by slice.
struct sweep_state
{
    sweep_schedule::kind kind = sweep_schedule::kind::plain;
    window whole;
    std::int64_t cursor = 0;
    slice_length slices;
    std::int64_t shown = 0, archived = 0, late = 0, held = 0, gone = 0;
    std::vector<difference> found;    // bounded
    std::set<breach_key> known_gone;  // of the archive's differences
    std::size_t verified = 0;         // single questions whether a breach is really gone
    bool verified_all_gone = true;    // and it always was
    double full_bytes = 0, full_ms = 0;
    bad_answers bad;
    std::int64_t left_out = 0;                     // slices
    unsigned left_out_in_a_row = 0;                // without a good answer in between
    bool asks_for_window = false;                  // a bad answer now is not to the question for one breach
    std::map<breach_key, unsigned> failed_singly;  // such questions, of the present slice
};

struct poller::impl
{
    impl(poller_parts p, master_status carried)
        : parts(std::move(p)),
          options(parts.options),
          status(std::move(carried)),
          clock(parts.clock),
          plan(plan_settings(parts.options)),
          schedule(parts.options.reconcile_interval.count(), parts.time->now().steady, parts.time->jitter())
    {
        status.name = options.name;
        status.state = poll_state::starting;
        status.error.clear();
        status.sweep_error.clear();
        timeout_ms = options.timeout.count();
        trusted_at = parts.time->now().steady;  // what a predecessor learnt of the clock was good until now
        tell.turns = parts.turns;
        tell.on_news = parts.on_news;
        tell.on_changes = parts.on_changes;
    }

    static poll_plan::settings plan_settings(const master_options& o)
    {
        poll_plan::settings s;
        s.interval = o.interval.count() + o.interval.count() / 10;  // with the jitter of waiting
        s.backfill = o.backfill.count();
        s.overlap = o.overlap.count();
        return s;
    }

    poller_parts parts;
    const master_options& options;
    master_status status;
    master_clock clock;
    poll_plan plan;
    sweep_schedule schedule;
    back_off quick{1'000, 60'000};
    back_off slow = slow_back_off;
    back_off sweep_wait{5'000, 300'000};
    std::int64_t timeout_ms = 0;

    std::optional<std::int64_t> position;      // of the last complete answer, stored or about to be
    std::optional<std::int64_t> run_position;  // what it was when the present run began
    std::optional<instant> guessed;  // when the first run began, where only this host's clock was known
    std::int64_t last_saved = 0;     // steady; of the stored position
    bool ever_saved = false;
    bool by_activity = false;
    std::int64_t horizon = std::numeric_limits<std::int64_t>::min();  // polling never asked for what is older
    std::int64_t trusted_at = 0;                       // steady; when the master's Date last was as expected
    std::int64_t next_poll = 0, sweep_not_before = 0;  // steady
    bad_answers bad;
    std::optional<polled_beside> beside;
    bool adapting = false;  // the last answer was too large, and the next question is for a shorter window
    bool last_was_good = false, sweep_turn = false, beside_turn = false, minimal_is_useless = false;
    answer_kind logged = answer_kind::ok, sweep_logged = answer_kind::ok;
    bool said_polling = false;
    bool untold = false;  // a commit whose answer was lost may have been made, and nobody heard of it
    std::int64_t failed_times = 0;  // since the last good answer
    std::int64_t logged_at = 0;     // steady; of the last line about it
    std::optional<sweep_state> sweep;
    std::string left_out;           // what the last sweep left out, in words
    double full_rate = 0;           // bytes per ms of full answers, of the last sweep
    std::set<breach_key> not_gone;  // lacking in its window, but still to be had by its pbid
    intake::listeners tell;

    instant now() const { return parts.time->now(); }
    std::function<std::int64_t()> steady_clock() const
    {
        return [time = parts.time] { return time->now().steady; };
    }
    net::http_limits bounds(window w) const
    {
        net::http_limits l;
        l.max_body = w.length() <= slice_length::least ? max_shortest_answer : max_answer;
        return l;
    }
    filter polled_by() const { return by_activity ? filter::activity : filter::creation; }

    void hear(const std::string& text, std::int64_t steady, bool believe);
    awaitable<verdict> ask(exchange& wire, std::string target, intake& in, net::http_limits limits);
    void count(const verdict& v, const intake& in);
    void take_counts(const intake::tally& t);
    void tell_what_is_untold();
    void turn_to_activity(const intake::tally& t);

    awaitable<void> load();
    awaitable<void> poll_step();
    awaitable<verdict> keep(intake& in, window w, window asked, instant own);
    bool began_too_late() const;
    std::int64_t settle(verdict& v, window w);
    void begin_beside(window unanswered);
    void say_unanswered();
    void pass_beside(window w);
    awaitable<void> beside_step();
    intake::order order_of(window asked) const;
    std::int64_t next_interval(std::int64_t from);
    bool may_sweep() const;
    void report(const verdict& v, std::int64_t wait);

    awaitable<void> sweep_step();
    awaitable<verdict> sweep_full(window w);
    awaitable<verdict> sweep_minimal(window w, bool& redo);
    awaitable<verdict> fetch(breach_key key, bool& refused);
    awaitable<verdict> still_answers(window w);
    awaitable<verdict> ask_survey(window w, intake& in);
    bool has_given_up(breach_key key) const;
    bool is_not_to_be_had(breach_key key, answer_kind k);
    void note_withheld(breach_key key);
    awaitable<verdict> compare(window w, intake& in);
    awaitable<verdict> settle_shown(const std::vector<breach_key>& shown);
    awaitable<verdict> look_for_gone(std::vector<breach_key> candidates, std::int64_t& gone);
    awaitable<verdict> is_shown(breach_key key, std::optional<bool>& shown);
    awaitable<verdict> note_found();
    awaitable<verdict> finish_sweep();
    awaitable<verdict> give_up_sweep(const verdict& why);
    awaitable<verdict> begin_sweep();
    void take_sweep_counts(const intake::tally& t);
    void say_differences(const std::vector<difference>& fresh);
    bool wants_minimal(window w) const;
    void leave_out(window w, const verdict& v);

    awaitable<void> run();
    awaitable<outcome<backfill_report>> backfill(window wanted,
                                                 bool archive_only,
                                                 backfill_progress progress);
    std::int64_t passed_by_polling(const std::optional<poll_position>& stored) const;
    window span_of_questions(window wanted) const;
};

}  // namespace dtbridge::poll
