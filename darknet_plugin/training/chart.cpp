/* Drawing a training with OpenCV (see chart.h). Above the plot a title and a legend that has the last values, so that
 * nothing is written into the plot; the legend takes as many rows as it needs. No exception leaves this file. */
#include "chart.h"

#include "chart_axis.h"
extern "C" {
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/utf8.h"
}

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace {

const int FONT = cv::FONT_HERSHEY_SIMPLEX, SHIFT = 4;   /* of points in sixteenths of a pixel */
const double SMALL = .48, LARGE = .62;
const int MARGIN = 24, LEFT = 84, RIGHT = 76, BOTTOM = 58, ROW = 22, TITLE = 44, SWATCH = 26;
const double BIN = 5;        /* pixels */
const size_t MOST_DOTS = 60, MOST_NAME = 28;

const cv::Scalar INK(40, 40, 40), GRID(228, 228, 228), FRAME(120, 120, 120), LOSS(31, 79, 175),
    PALE(205, 216, 240), SCORE(204, 32, 32), LABELS(140, 70, 180);
const cv::Scalar PART[] = { { 0, 150, 150 }, { 225, 130, 0 }, { 70, 150, 60 }, { 130, 95, 60 }, { 205, 95, 160 },
                            { 120, 130, 30 }, { 90, 110, 140 }, { 60, 180, 220 } };
const cv::Scalar TEACHER[] = { { 20, 20, 20 }, { 110, 110, 110 }, { 170, 170, 170 } };
const int PARTS = sizeof PART / sizeof *PART, TEACHERS = sizeof TEACHER / sizeof *TEACHER;

/* A line of the legend. */
struct entry {
    std::string text;
    cv::Scalar colour;
    int thick, dashed;
};

struct plot {
    cv::Mat mat;             /* RGB */
    cv::Rect box;            /* the plot itself */
    chart_axis x, loss, score;
    int has_score;
};

/* What this font can write. */
std::string plain(const char *text)
{
    std::string out(text);
    if (out.size() > MOST_NAME) out = out.substr(0, MOST_NAME - 2) + "..";
    for (char &letter : out)
        if ((unsigned char)letter < 32 || (unsigned char)letter > 126) letter = '?';
    return out;
}

std::string number(const char *form, double value)
{
    char text[48];
    snprintf(text, sizeof text, form, value);
    return text;
}

int width_of(const std::string &text, double scale)
{
    int base;
    return cv::getTextSize(text, FONT, scale, 1, &base).width;
}

/* `align` 0: begins at x, 1: is centred there, 2: ends there; y is the line that letters stand on. */
void write(cv::Mat &mat, const std::string &text, int x, int y, int align, double scale = SMALL,
           const cv::Scalar &colour = INK)
{
    std::string plain(text);
    utf8_plain(&plain[0]);
    int left = x - width_of(plain.c_str(), scale) * align / 2;
    cv::putText(mat, plain.c_str(), cv::Point(left, y), FONT, scale, colour, 1, cv::LINE_AA);
}

/* ---- lines ---- */

void dashed_line(cv::Mat &mat, int from, int to, int y, const cv::Scalar &colour, int thick)
{
    for (int x = from; x < to; x += 10)
        cv::line(mat, cv::Point(x, y), cv::Point(std::min(x + 6, to), y), colour, thick);
}

cv::Point point_at(const plot &plot, const chart_axis &axis, double x, double y)
{
    double right = plot.box.x + chart_axis_place(&plot.x, x) * (plot.box.width - 1),
        down = plot.box.y + (1 - chart_axis_place(&axis, y)) * (plot.box.height - 1);
    return cv::Point((int)std::lround(right * (1 << SHIFT)), (int)std::lround(down * (1 << SHIFT)));
}

void draw_series(plot &plot, const chart_axis &axis, const curve_series &series, const cv::Scalar &colour, int thick,
                 int dots)
{
    std::vector<cv::Point> points;
    for (size_t i = 0; i < series.n; ++i) points.push_back(point_at(plot, axis, series.x[i], series.y[i]));
    cv::polylines(plot.mat, points, false, colour, thick, cv::LINE_AA, SHIFT);
    if (series.n > 1 && (!dots || series.n > MOST_DOTS)) return;
    for (const cv::Point &at : points) cv::circle(plot.mat, at, 3 << SHIFT, colour, cv::FILLED, cv::LINE_AA, SHIFT);
}

/* Steps differ: what is drawn are means over so many pixels, the first point alone; each point counts as the steps
 * since the one before it. */
struct mean_line {
    std::vector<double> x, y;
    double from = 0, weight = 0, sum_x = 0, sum_y = 0;

    void finish()
    {
        if (weight <= 0) return;
        x.push_back(sum_x / weight);
        y.push_back(sum_y / weight);
        weight = sum_x = sum_y = 0;
    }

    void add(double at, double value, double steps, double width)
    {
        if (weight > 0 && at >= from + width) finish();
        if (weight <= 0) from = at;
        weight += steps;
        sum_x += at * steps;
        sum_y += value * steps;
    }
};

mean_line means(const plot &plot, const curve_series &series)
{
    mean_line line;
    double width = BIN * (plot.x.to - plot.x.from) / plot.box.width;
    for (size_t i = 0; i < series.n; ++i) {
        line.add(series.x[i], series.y[i], i ? std::max(series.x[i] - series.x[i - 1], 1e-9) : 1, width);
        if (!i) line.finish();
    }
    line.finish();
    return line;
}

void draw_means(plot &plot, const curve_series &series, const cv::Scalar &colour, int thick)
{
    mean_line line = means(plot, series);
    curve_series drawn = { line.x.data(), line.y.data(), line.x.size(), 0 };
    draw_series(plot, plot.loss, drawn, colour, thick, 0);
}

/* ---- axes ---- */

std::string tick_text(double value)
{
    char text[32];
    chart_axis_text(value, text, sizeof text);
    return text;
}

int row_of(const plot &plot, const chart_axis &axis, double value)
{
    return plot.box.y + (int)std::lround((1 - chart_axis_place(&axis, value)) * (plot.box.height - 1));
}

void draw_loss_axis(plot &plot)
{
    const cv::Rect &box = plot.box;
    for (int i = 0; i < plot.loss.ticks; ++i) {
        int y = row_of(plot, plot.loss, plot.loss.tick[i]);
        cv::line(plot.mat, cv::Point(box.x, y), cv::Point(box.x + box.width - 1, y), GRID);
        write(plot.mat, tick_text(plot.loss.tick[i]), box.x - 8, y + 5, 2);
    }
    write(plot.mat, plot.loss.log ? "loss (log)" : "loss", box.x - 8, box.y - 13, 1, SMALL, LOSS);
}

void draw_score_axis(plot &plot, const char *name)
{
    const cv::Rect &box = plot.box;
    int right = box.x + box.width - 1;
    for (int i = 0; i < plot.score.ticks; ++i) {
        int y = row_of(plot, plot.score, plot.score.tick[i]);
        cv::line(plot.mat, cv::Point(right, y), cv::Point(right + 5, y), FRAME);
        write(plot.mat, tick_text(plot.score.tick[i]), right + 10, y + 5, 0);
    }
    write(plot.mat, std::string(name) + " %", right + 8, box.y - 13, 1, SMALL, SCORE);
}

/* Below the plot. */
void draw_step_axis(plot &plot, const curve &run)
{
    const cv::Rect &box = plot.box;
    int bottom = box.y + box.height - 1;
    for (int i = 0; i < plot.x.ticks; ++i) {
        int x = box.x + (int)std::lround(chart_axis_place(&plot.x, plot.x.tick[i]) * (box.width - 1));
        cv::line(plot.mat, cv::Point(x, box.y), cv::Point(x, bottom), GRID);
        write(plot.mat, tick_text(plot.x.tick[i]), x, bottom + 20, 1);
    }
    std::string name = "step";
    double each = run.epochs > 0 ? run.steps / run.epochs : 0;
    double rounded = each < 10 ? std::round(10 * each) / 10 : std::round(each);
    if (rounded > 0) name += number(" (%.6g an epoch)", rounded);
    write(plot.mat, name, box.x + box.width / 2, bottom + 42, 1);
}

/* ---- what is on them ---- */

double last_x(const curve &run)
{
    double last = std::isfinite(run.steps) ? run.steps : 1;
    if (run.loss.n) last = std::max(last, run.loss.x[run.loss.n - 1]);
    if (run.score.n) last = std::max(last, run.score.x[run.score.n - 1]);
    return std::max(last, 1.);
}

void add_values(std::vector<double> &values, const curve_series &series)
{
    values.insert(values.end(), series.y, series.y + series.n);
}

chart_axis loss_axis(const curve &run)
{
    std::vector<double> values;
    add_values(values, run.loss);
    for (int i = 0; i < run.parts && run.parts > 1; ++i) add_values(values, run.part[i]);
    return chart_axis_loss(values.data(), values.size());
}

chart_axis score_axis(const curve &run, const curve *from_labels)
{
    std::vector<double> values;
    add_values(values, run.score);
    if (from_labels) add_values(values, from_labels->score);
    values.insert(values.end(), run.teacher, run.teacher + run.teachers);
    auto ends = std::minmax_element(values.begin(), values.end());
    double low = *ends.first, high = *ends.second;
    low = std::max(0., std::min(low - .05 * (high - low), high - 5));
    return chart_axis_linear(low, std::min(100., std::max(high, low + 5)), 7, 1);
}

double best_of(const curve_series &series) { return *std::max_element(series.y, series.y + series.n); }

const char *score_name(const curve &run) { return run.detector ? "mAP@0.5" : "top-1"; }

void add_losses(std::vector<entry> &legend, const plot &plot, const curve &run)
{
    if (run.loss.n) legend.push_back({ "loss" + number(" %.4g", means(plot, run.loss).y.back()), LOSS, 2, 0 });
    for (int i = 0; i < run.parts && run.parts > 1; ++i)
        if (run.part[i].n)
            legend.push_back({ plain(run.part_name[i]) + number(" %.4g", means(plot, run.part[i]).y.back()),
                               PART[i % PARTS], 1, 0 });
}

/* Scores of the run, its teachers and of the network beside it. */
void add_scores(std::vector<entry> &legend, const curve &run, const curve *from_labels)
{
    if (run.score.n)
        legend.push_back({ std::string(score_name(run)) + number(" %.2f %%", run.score.y[run.score.n - 1]) +
                           number(", best %.2f %%", best_of(run.score)), SCORE, 2, 0 });
    for (int i = 0; i < run.teachers && i < TEACHERS; ++i) {
        std::string name = run.teachers > 1 ? "teacher " + plain(run.teacher_name[i]) : std::string("teacher");
        legend.push_back({ name + number(" %.2f %%", run.teacher[i]), TEACHER[i], 1, 1 });
    }
    if (from_labels)
        legend.push_back({ "from labels, best" + number(" %.2f %%", best_of(from_labels->score)), LABELS, 1, 0 });
}

/* In rows; returns where the last one ends. */
int draw_legend(cv::Mat &mat, const std::vector<entry> &legend)
{
    int x = MARGIN, y = TITLE + ROW;
    for (const entry &one : legend) {
        int width = SWATCH + 8 + width_of(one.text, SMALL);
        if (x > MARGIN && x + width > mat.cols - MARGIN) {
            x = MARGIN;
            y += ROW;
        }
        if (one.dashed) dashed_line(mat, x, x + SWATCH, y - 5, one.colour, one.thick);
        else cv::line(mat, cv::Point(x, y - 5), cv::Point(x + SWATCH, y - 5), one.colour, one.thick + 1, cv::LINE_AA);
        write(mat, one.text, x + SWATCH + 8, y, 0);
        x += width + MARGIN;
    }
    return y;
}

std::string title(const curve &run)
{
    double steps = run.loss.n ? run.loss.x[run.loss.n - 1] : 0;
    if (run.score.n) steps = std::max(steps, run.score.x[run.score.n - 1]);
    std::string text = plain(run.name ? run.name : "");
    if (run.epochs > 0 && run.steps > 0)
        text += number(": epoch %.4g", std::round(100 * steps * run.epochs / run.steps) / 100) +
                number(" of %.4g", run.epochs);
    return text;
}

/* What matters most is drawn last. */
void draw_curves(plot &plot, const curve &run, const curve *from_labels)
{
    draw_series(plot, plot.loss, run.loss, PALE, 1, 0);
    for (int i = 0; i < run.parts && run.parts > 1; ++i)
        draw_means(plot, run.part[i], PART[i % PARTS], 1);
    draw_means(plot, run.loss, LOSS, 2);
    if (!plot.has_score) return;
    for (int i = 0; i < run.teachers && i < TEACHERS; ++i)
        dashed_line(plot.mat, plot.box.x, plot.box.x + plot.box.width - 1, row_of(plot, plot.score, run.teacher[i]),
                    TEACHER[i], 1);
    if (from_labels) draw_series(plot, plot.score, from_labels->score, LABELS, 1, 1);
    draw_series(plot, plot.score, run.score, SCORE, 2, 1);
}

/* The whole picture. The legend decides how high the plot is, its numbers how wide. */
cv::Mat draw(const curve &run, const curve *from_labels)
{
    plot plot = { cv::Mat(CHART_H, CHART_W, CV_8UC3, cv::Scalar(255, 255, 255)), {}, {}, {}, {}, 0 };
    std::vector<entry> legend;
    plot.has_score = run.score.n || run.teachers || from_labels;
    int right = plot.has_score ? RIGHT : MARGIN;
    plot.box = cv::Rect(LEFT, 0, CHART_W - LEFT - right, CHART_H);   /* its width; the rest is the legend's affair */
    plot.x = chart_axis_linear(0, last_x(run), (int)std::min(10., last_x(run)), 0);
    add_losses(legend, plot, run);
    add_scores(legend, run, from_labels);
    write(plot.mat, title(run), MARGIN, TITLE - 12, 0, LARGE);
    plot.box.y = draw_legend(plot.mat, legend) + 40;
    plot.box.height = CHART_H - plot.box.y - BOTTOM;
    plot.loss = loss_axis(run);
    draw_step_axis(plot, run);
    draw_loss_axis(plot);
    if (plot.has_score) {
        plot.score = score_axis(run, from_labels);
        draw_score_axis(plot, score_name(run));
    }
    cv::rectangle(plot.mat, plot.box, FRAME);
    draw_curves(plot, run, from_labels);
    return plot.mat;
}

}

extern "C" uint8_t *chart_draw(const curve *run, const curve *from_labels, diag *d)
{
    try {
        cv::Mat mat = draw(*run, from_labels);
        size_t n = mat.total() * mat.elemSize();
        return static_cast<uint8_t *>(std::memcpy(mem_calloc(n, 1), mat.data, n));
    } catch (const std::exception &problem) {
        diag_error(d, NULL, 0, NULL, "cannot draw the chart: %s", problem.what());
        return NULL;
    }
}
