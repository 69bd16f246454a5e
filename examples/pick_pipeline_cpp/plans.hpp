// What to do when a goal of clue_ros/action/Ground did not give a target, a plan for every way it can end, and what a
// correction after the result means for an arm. Needs clue_ros's headers only; test/package/test_cpp_example.py compiles
// it and compares it with pick_pipeline.py.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "clue_ros/action/ground.hpp"
#include "clue_ros/msg/correction.hpp"

namespace pick_pipeline
{

enum class Plan
{
  NONE,            // nothing: the arm was there
  RETRY,           // it may be over the next time
  REPHRASE,
  LOOK_ELSEWHERE,
  OPERATOR,
  STOP             // somebody wanted it so
};

inline const char * words_of(Plan plan)
{
  switch (plan) {
    case Plan::NONE: return "nothing to do";
    case Plan::RETRY: return "try again";
    case Plan::REPHRASE: return "ask the person to say it differently";
    case Plan::LOOK_ELSEWHERE: return "move the camera and look again";
    case Plan::STOP: return "stop";
    case Plan::OPERATOR: break;
  }
  return "call an operator";
}

/// The plan for an error_code of Ground's result.
inline Plan plan_of(std::uint16_t error_code)
{
  using Code = clue_ros::action::Ground::Result;
  switch (error_code) {
    case Code::NONE:
      return Plan::NONE;
    case Code::NO_IMAGE:
    case Code::TIMEOUT:
    case Code::NOT_ACTIVE:
    case Code::MODEL_UNAVAILABLE:
      return Plan::RETRY;
    case Code::INVALID_EXPRESSION:
    case Code::UNKNOWN_WORDS:
    case Code::AMBIGUOUS:
      return Plan::REPHRASE;
    case Code::NOT_FOUND:
      return Plan::LOOK_ELSEWHERE;
    case Code::ANSWER_TIMEOUT:
    case Code::CANCELED:
    case Code::PREEMPTED:
    case Code::ABANDONED:
      return Plan::STOP;
    default:
      // UNKNOWN, INVALID_IMAGE, UNSUPPORTED_ENCODING, MODEL_ERROR, OUT_OF_MEMORY, UNKNOWN_CAMERA, and a code that this
      // program does not know yet: nobody should guess.
      return Plan::OPERATOR;
  }
}

/// What a Correction means for an arm.
enum class Order
{
  NOTHING,         // it is about another target
  HALT,            // the target holds no longer, another one is being looked for
  GIVE_UP,         // the target holds no longer, and there is no other
  GO               // the message's target holds from now on
};

/// Whose target counts: the goal's, then that of the correction that took it back, and so on.
struct Held
{
  std::string dialogue;  // 32 hexadecimal digits; empty: nobody's

  Order hear(const clue_ros::msg::Correction & message)
  {
    using Message = clue_ros::msg::Correction;
    if (dialogue.empty()) {
      return Order::NOTHING;
    }
    const bool corrects = message.corrects == dialogue;
    if (corrects && (message.state == Message::REOPENED || message.state == Message::WITHDRAWN)) {
      dialogue = message.dialogue;
      return message.state == Message::REOPENED ? Order::HALT : Order::GIVE_UP;
    }
    if ((corrects || message.dialogue == dialogue) &&
      (message.state == Message::CORRECTED || message.state == Message::FAILED))
    {
      dialogue = message.dialogue;
      return message.state == Message::CORRECTED ? Order::GO : Order::GIVE_UP;
    }
    return Order::NOTHING;
  }
};

/// A goal's id as Correction.corrects has it.
inline std::string hexadecimal(const std::array<std::uint8_t, 16> & uuid)
{
  std::string digits;
  for (const auto byte : uuid) {
    digits += "0123456789abcdef"[byte >> 4];
    digits += "0123456789abcdef"[byte & 15];
  }
  return digits;
}

}  // namespace pick_pipeline
