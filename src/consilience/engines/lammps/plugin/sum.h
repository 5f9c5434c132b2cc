// A sum of forms with their numbers, as given by coefficients "form p0 p1 ... form p0 ..." or "none".
// SPDX-License-Identifier: MIT
#ifndef CONSIL_SUM_H
#define CONSIL_SUM_H

#include "forms.h"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace consil {

class Sum {
 public:
  Sum() = default;
  Sum(int narg, char **arg)
  {
    if (narg == 1 && !std::strcmp(arg[0], "none")) return;
    for (int i = 0; i < narg;) {
      const Form *form = find(arg[i]);
      if (!form) throw std::invalid_argument(std::string("no form is called ") + arg[i] + " in this plug-in");
      if (i + form->count >= narg) throw std::invalid_argument(std::string("too few numbers after ") + arg[i]);
      parts.push_back({form, values.size()});
      for (int k = 1; k <= form->count; k++) {
        char *end = nullptr;
        values.push_back(std::strtod(arg[i + k], &end));
        if (end == arg[i + k] || *end) throw std::invalid_argument(std::string("not a number: ") + arg[i + k]);
      }
      i += form->count + 1;
    }
  }
  bool empty() const { return parts.empty(); }
  // the energy at x, and its derivative in `slope`
  double operator()(double x, double &slope) const
  {
    const Dual here(x, 1.0);
    Dual total(0.0);
    for (const auto &part : parts) total = total + part.form->dual(here, values.data() + part.first);
    slope = total.slope;
    return total.value;
  }

 private:
  struct Part {
    const Form *form;
    std::size_t first;
  };
  std::vector<Part> parts;
  std::vector<double> values;

  static const Form *find(const char *name)
  {
    for (const Form *form = all_forms; form->name; form++)
      if (!std::strcmp(form->name, name)) return form;
    return nullptr;
  }
};

}    // namespace consil
#endif
